/**
 * Makes any text safe to write on one line of a log or terminal: no control
 * character, no bidirectional override, no secret, bounded length.
 */

// C0, DEL and C1 controls drive terminals; U+2028/9 end lines; the bidi controls reorder what is read.
// biome-ignore lint/suspicious/noControlCharactersInRegex: finding control characters is the purpose.
const unsafe = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;
const everyUnsafe = new RegExp(unsafe.source, 'g');

/** A shorter secret would blank out ordinary words; such a password protects nothing anyway. */
const shortestSecret = 4;

/** `text` with unsafe characters as \xNN or \uNNNN, and at most `limit` characters and an ellipsis. */
export function printable(text: string, limit: number): string {
  const short = text.length > limit ? `${text.slice(0, limit)}…` : text;
  return unsafe.test(short) ? short.replace(everyUnsafe, escaped) : short;
}

function escaped(character: string): string {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
}

/** A shorter piece of base64 would be found in text that has nothing to do with it. */
const shortestBase64 = 8;

/**
 * Finds each secret in the forms in which a server may echo it: as it is, and the base64 of it at each of the three places it can have in a longer
 * text (AUTH PLAIN sends it behind the user name). Secrets under 4 characters
 * are left out.
 */
export function secretPattern(secrets: readonly string[]): RegExp | undefined {
  const forms = new Set<string>();
  for (const secret of secrets.filter(secret => secret.length >= shortestSecret)) {
    forms.add(secret);
    forms.add(Buffer.from(secret).toString('base64'));
    for (const offset of [0, 1, 2]) forms.add(base64Inside(Buffer.from(secret), offset));
  }
  forms.delete('');
  if (forms.size === 0) return undefined;
  // Longest first, for the first alternative that fits wins.
  const alternatives = [...forms].sort((a, b) => b.length - a.length).map(form => RegExp.escape(form));
  return new RegExp(alternatives.join('|'), 'g');
}

/** The base64 digits that depend on `secret` alone when it stands `offset` bytes behind a multiple of three. */
function base64Inside(secret: Buffer, offset: number): string {
  const digits = Buffer.concat([Buffer.alloc(offset), secret]).toString('base64');
  const inside = digits.slice(Math.ceil((offset * 8) / 6), Math.floor(((offset + secret.length) * 8) / 6));
  return inside.length < shortestBase64 ? '' : inside;
}

/** `text` with everything that `pattern` finds replaced by «redacted». */
export function redacted(text: string, pattern: RegExp | undefined): string {
  return pattern === undefined ? text : text.replace(pattern, '«redacted»');
}
