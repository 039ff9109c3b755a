/**
 * Makers of the fields that config.json is built from. Each takes its bounds
 * and its description, and remembers what is allowed in words, so that the
 * reference page, the JSON Schema and every error message say the same.
 */
// As a namespace everywhere: `{ z }` would carry zod's forty languages into the program, 8 MB of memory.
import * as z from 'zod';

/** What may stand in a field, as the end of "must be …". Looked up by allowedIn() in problems.ts. */
export const allowedWords = z.registry<{ allowed: string }>();

// The length is not in the pattern: RE2, which Kubernetes uses, repeats at most 1000 times.
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is excluded
const printable = z.string().regex(/^[^\x00-\x1f\x7f]*$/);

/** A whole number with both bounds. */
export function whole(min: number, max: number, description: string) {
  return z
    .int()
    .min(min)
    .max(max)
    .describe(description)
    .register(allowedWords, { allowed: `a whole number from ${min} to ${max}` });
}

/** A number that may have a fraction, with both bounds. */
export function fraction(min: number, max: number, description: string) {
  return z
    .number()
    .min(min)
    .max(max)
    .describe(description)
    .register(allowedWords, { allowed: `a number from ${min} to ${max}` });
}

/** true or false. */
export function flag(description: string) {
  return z.boolean().describe(description).register(allowedWords, { allowed: 'true or false' });
}

/** Non-empty text without control characters. */
export function text(max: number, description: string) {
  return printable
    .min(1)
    .max(max)
    .describe(description)
    .register(allowedWords, { allowed: `text of 1 to ${max} characters without control characters` });
}

/** Text that may be empty; empty means the same as absent. */
export function optionalText(max: number, description: string) {
  return printable
    .max(max)
    .describe(description)
    .register(allowedWords, { allowed: `text of at most ${max} characters without control characters` });
}

/** Text of a given form; `allowed` says the form in words. */
export function matching(pattern: RegExp, allowed: string, description: string) {
  return z.string().regex(pattern).describe(description).register(allowedWords, { allowed });
}

/** One of a few words. */
export function choice<const Words extends readonly [string, ...string[]]>(
  words: Words,
  description: string,
) {
  return z
    .enum(words)
    .describe(description)
    .register(allowedWords, { allowed: `one of ${words.map(word => JSON.stringify(word)).join(', ')}` });
}

/** A port to listen on; 0 lets the system choose a free one. */
export function listeningPort(description: string) {
  return whole(0, 65_535, `${description} 0 lets the system choose a free one.`);
}

const label = '[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?';
const address6 = '[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]*:[0-9A-Fa-f.]{0,15}';

/** A host name or address as the inside of a regular expression, without anchors. RE2 understands it. */
export const hostPattern = `(?:${label}(?:\\.${label})*\\.?|${address6})`;

/** A DNS name, IPv4 or IPv6 address. No scheme, no port, no user. */
export function host(description: string) {
  const pattern = new RegExp(`^${hostPattern}$`);
  return z
    .string()
    .max(253)
    .regex(pattern)
    .describe(description)
    .register(allowedWords, { allowed: 'a host name or an IP address, without scheme and port' });
}
