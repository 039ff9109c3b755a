/** docs/events.md and docs/metrics.md as text, made from the catalogue and the registry. */
import type { Registry } from 'prom-client';
import { describedIn, metricTable } from '../../metric-table.ts';
import { catalogue, type Entry, type EventName, type Repeating } from './catalogue.ts';
import { maxKeys, windowMs } from './repeats.ts';

const generated =
  '<!-- Made by relay/telemetry/write-reference.ts from the definitions in that folder: change those, then run it. -->';

const repetition = `Some events clients can bring about as often as they like, and one comes for each mail that waits: those with a field \`repeated\` below. Of equal ones the log writes the first at once, or the first few, and only counts the others; every ${windowMs / 1000} seconds, and at the end, one line that looks like the last of them says in \`repeated\` for how many it stands. So a line without \`repeated\` stands for itself, and the sum is the number of events. With more than ${maxKeys} different ones in that time (fewer where the first few are written), those beyond are counted together, with \`others\` in the field that they differ in. Metrics count each. No other event is ever left out.`;

/** One section an event, in the order of the catalogue. */
export function eventsReference(): string {
  const sections = Object.entries(catalogue).map(([name, entry]) =>
    eventSection(name, entry as Entry<EventName>),
  );
  return `${[
    '# Events',
    generated,
    'Everything the relay tells about itself is one of these events. By default the log has one line of JSON for each: `level`, `time` (ISO 8601, UTC), `event`, and the fields below; fields marked with a condition are absent where it does not hold. `logLevel` in config.json drops the quieter ones. Lines never hold message content or credentials; should a server echo a password, it is replaced by «redacted». Addresses of senders and recipients are in the events about one mail alone, also where a reply repeats one; in what is told of a provider, here, in `/status` and in the status of a MailRelay, `[address]` stands in their place. Names, fields and their meaning are stable: fields may be added.',
    repetition,
    'With `--log-format text` the same events are short lines for people. That form may change at any time.',
    ...sections,
  ].join('\n\n')}\n`;
}

function eventSection(name: string, { level, trouble, repeats, meaning, fields }: Entry<EventName>): string {
  const loud =
    trouble === undefined ? `Level ${level}.` : `Level ${level}; ${trouble.level} when ${trouble.when}.`;
  const rows = [...Object.entries(fields as Readonly<Record<string, string>>), ...repeatedField(repeats)].map(
    row => `| \`${row[0]}\` | ${row[1]} |`,
  );
  return [`## ${name}`, '', `${meaning} ${loud}`, '', '| Field | Meaning |', '|---|---|', ...rows].join('\n');
}

/** The field that the log adds. */
function repeatedField(repeats: Repeating<string> | undefined): [string, string][] {
  if (repeats === undefined) return [];
  const { equal, first = 1, regardlessOfNumbers } = repeats;
  const fields = equal.map(field => `\`${field}\``).join(' and ');
  const same = regardlessOfNumbers ? `${fields}, words with digits in them aside,` : fields;
  const few = first === 1 ? '' : ` The first ${first} are written.`;
  return [['repeated', `For how many with the same ${same} the line stands; absent = for itself.${few}`]];
}

/** Two tables: the relay's own metrics, then those of the process. */
export function metricsReference(registry: Registry): string {
  const metrics = describedIn(registry);
  const own = metrics.filter(({ name }) => name.startsWith('mailrelay_'));
  const process = metrics.filter(({ name }) => !name.startsWith('mailrelay_'));
  return `${[
    '# Metrics',
    generated,
    'Served at `/metrics` on `healthCheckPort` in the Prometheus text format. Units are seconds and bytes. Labels are bounded: providers by the configuration (the series of a provider vanish when it leaves the configuration), everything else by the code; no label ever holds an address. What the values of `outcome`, `stage`, `class`, `reason` and `state` mean: see [events](events.md). The metrics of the operator are on [a page of their own](operator-metrics.md).',
    metricTable(own),
    '## The process',
    'Node.js and the process itself, as prom-client names them.',
    metricTable(process),
  ].join('\n\n')}\n`;
}
