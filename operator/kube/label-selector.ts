/**
 * Which labels a selector selects, by the grammar of the API server (k8s.io/apimachinery/pkg/labels): it has the last
 * word on what is a selector; what is none selects everything here, and is refused there. Pure.
 */

type Labels = Readonly<Record<string, string>>;

/** `!key`, `key`, `key=value`, `key!=value`, `key<1`, `key in (a,b)`, `key notin (a,b)`; at the end of it a comma, or nothing. */
const requirement =
  /\s*(?<not>!)?\s*(?<key>[^\s=!<>(),]+)\s*(?:(?<operator>==|!=|=|<|>)\s*(?<value>[^\s=!<>(),]*)|(?<set>in|notin)\s*\((?<values>[^()]*)\))?\s*(?<more>,|$)/y;

type Groups = Readonly<Partial<Record<'not' | 'key' | 'operator' | 'value' | 'set' | 'values', string>>>;

/** Whether an object with such labels is selected. Without a selector every one is. */
export function selects(selector: string | undefined, labels: Labels = {}): boolean {
  return requirementsOf(selector ?? '').every(one => holds(one, labels));
}

/** None where the text is empty or no selector. */
function requirementsOf(selector: string): Groups[] {
  const found: Groups[] = [];
  requirement.lastIndex = 0;
  for (let more = selector.trim() === '' ? '' : ','; more === ','; ) {
    const groups = requirement.exec(selector)?.groups;
    if (groups === undefined) return [];
    found.push(groups);
    more = groups['more'] ?? '';
  }
  return found;
}

function holds({ not, key = '', operator, value = '', set, values = '' }: Groups, labels: Labels): boolean {
  const has = labels[key];
  if (operator === '<') return Number(has) < Number(value);
  if (operator === '>') return Number(has) > Number(value);
  if (set === undefined && operator === undefined) return (has === undefined) === (not !== undefined);
  const wanted = set === undefined ? [value] : values.split(',').map(one => one.trim());
  const isOneOf = has !== undefined && wanted.includes(has);
  return operator === '!=' || set === 'notin' ? !isOneOf : isOneOf;
}
