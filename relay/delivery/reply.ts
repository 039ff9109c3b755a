/**
 * One SMTP reply, from text to value (RFC 5321 section 4.2, RFC 3463). What a
 * provider sends is not trusted: a reply is well-formed or it is no reply, and
 * its text leaves here short and without control characters.
 */
import type { Reply } from './failure.ts';

/** Longest text kept, in UTF-16 units. */
const MAX_TEXT = 512;

const LINE = /^([2-5]\d\d)([ -]|$)(.*)$/s;
const ENHANCED = /^([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)/;
// C0, DEL, C1 and the two Unicode line separators: all that could forge a line of a log or a terminal.
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it is for
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Makes text from elsewhere fit for logs: control characters escaped, at most 512 characters. */
export function printable(text: string): string {
  // Cut before escaping too: a hostile reply may be long, and each character can grow sixfold.
  const clean = text.slice(0, MAX_TEXT + 1).replace(CONTROL, escaped);
  return clean.length > MAX_TEXT ? `${clean.slice(0, MAX_TEXT - 1)}…` : clean;
}

/**
 * Reads a whole reply, its lines joined by LF. undefined when it is none:
 * a line without a code of 200 to 599, differing codes, a last line that
 * announces another one.
 */
export function parseReply(text: string): Reply | undefined {
  const lines = text.split('\n');
  const first = LINE.exec(lines[0] ?? '');
  if (first === null) return undefined;
  const code = Number(first[1]);
  const enhanced = ENHANCED.exec(first[3] ?? '')?.[1];
  const texts: string[] = [];
  for (const [index, line] of lines.entries()) {
    const content = continues(line, code, index < lines.length - 1);
    if (content === undefined) return undefined;
    texts.push(
      enhanced !== undefined && content.startsWith(enhanced) ? content.slice(enhanced.length) : content,
    );
  }
  const joined = printable(
    texts
      .map(part => part.trim())
      .join(' ')
      .trim(),
  );
  return enhanced === undefined ? { code, text: joined } : { code, enhanced, text: joined };
}

/** The text of a line that belongs to this reply, or undefined. */
function continues(line: string, code: number, more: boolean): string | undefined {
  const match = LINE.exec(line);
  if (match === null || Number(match[1]) !== code || (match[2] === '-') !== more) return undefined;
  return match[3];
}

/** For people: `550 5.1.1 No such user`. */
export function replyLine({ code, enhanced, text }: Reply): string {
  return [String(code), enhanced, text].filter(part => part !== undefined && part !== '').join(' ');
}
