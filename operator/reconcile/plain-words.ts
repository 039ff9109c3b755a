/**
 * Words of others (a pod, a provider, the API server) on their way into status,
 * conditions and events: one line of bounded length that the API server stores
 * as it is and that no terminal takes for orders. Pure.
 */

/** Line ends, escapes and invisible marks: nothing that a reply of a provider needs. */
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\s]+/gu;

/** `text` in one line of at most `longest` UTF-16 units. Never half a character: the API server would change it. */
export function plainWords(text: string, longest: number): string {
  // Cut first: what is to be read may be a megabyte, of which a kilobyte is kept.
  const line = text
    .slice(0, 4 * longest)
    .toWellFormed()
    .replace(invisible, ' ')
    .trim();
  if (line.length <= longest) return line;
  return `${line.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}
