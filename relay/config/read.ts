/**
 * The text of config.json → a plain value. JSON with comments and trailing
 * commas, as in the source document; a byte order mark is skipped. A mistake
 * is reported with line and column, and never with what stands there, which
 * may be a password.
 */
import { createScanner, type Node, type ParseError, parseTree } from 'jsonc-parser';
import { ConfigError } from './problems.ts';

/** Far more than 32 providers and 1000 accounts need; a bound against reading a wrong file. */
export const maxConfigBytes = 1_048_576;

/** The format needs 5; the parser is recursive and must not meet a thousand. */
const maxDepth = 32;

/** JSON values; objects have no prototype. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** @throws ConfigError with line and column. */
export function readConfigText(text: string): Json {
  const source = text.startsWith('\uFEFF') ? text.slice(1) : text;
  if (Buffer.byteLength(source) > maxConfigBytes) {
    throw new ConfigError([`the file must be at most ${maxConfigBytes} bytes long`]);
  }
  if (source.trim() === '') throw new ConfigError(['the file is empty: must be a JSON object']);
  refuseDepth(source);
  const errors: ParseError[] = [];
  const tree = parseTree(source, errors, { allowTrailingComma: true });
  const [first] = errors;
  if (first !== undefined) throw new ConfigError([syntaxProblem(source, first)]);
  if (tree === undefined) throw new ConfigError(['the file must be a JSON object']);
  return toValue(source, tree);
}

/** Bytes of the file → text. @throws ConfigError when they are not UTF-8. */
export function decodeConfig(bytes: Uint8Array): string {
  if (bytes.length > maxConfigBytes) {
    throw new ConfigError([`the file must be at most ${maxConfigBytes} bytes long`]);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new ConfigError(['the file must be UTF-8 text'], { cause });
  }
}

// jsonc-parser's SyntaxKind and ParseErrorCode are ambient const enums, which
// type stripping cannot read: their numbers stand here.
const opening = [1, 3];
const closing = [2, 4];
const endOfFile = 17;

const syntaxErrors: Readonly<Record<number, string>> = {
  1: 'this is not JSON (a text must stand in double quotes)',
  2: 'this is not a number as JSON writes it',
  3: 'a key in double quotes must stand here',
  4: 'a value must stand here',
  5: 'a colon must stand here',
  6: 'a comma must stand here',
  7: 'a closing } must stand here',
  8: 'a closing ] must stand here',
  9: 'the file must end here',
  10: 'a comment must not stand here',
  11: 'the comment is not closed',
  12: 'the text is not closed by a double quote',
  13: 'the number is not complete',
  14: 'a \\u escape must have four hexadecimal digits',
  15: 'this escape is not known to JSON',
  16: 'a control character must not stand here',
};

function syntaxProblem(source: string, error: ParseError): string {
  const what = syntaxErrors[error.error] ?? 'this is not JSON';
  return `${position(source, error.offset)}: ${what}`;
}

function position(source: string, offset: number): string {
  const lines = source.slice(0, offset).split(/\r\n|\r|\n/);
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1}`;
}

function refuseDepth(source: string): void {
  const scanner = createScanner(source, true);
  let depth = 0;
  for (let token: number = scanner.scan(); token !== endOfFile; token = scanner.scan()) {
    if (opening.includes(token)) depth += 1;
    if (closing.includes(token)) depth -= 1;
    if (depth > maxDepth) {
      const where = position(source, scanner.getTokenOffset());
      throw new ConfigError([`${where}: nesting must be at most ${maxDepth} levels deep`]);
    }
  }
}

function toValue(source: string, node: Node): Json {
  if (node.type === 'array') return (node.children ?? []).map(child => toValue(source, child));
  if (node.type === 'object') return toObject(source, node);
  return node.value as Json;
}

/** A key given twice is a mistake that JSON.parse hides: the first one would silently not count. */
function toObject(source: string, node: Node): JsonObject {
  const object: Record<string, Json> = Object.create(null);
  for (const property of node.children ?? []) {
    const [key, value] = property.children ?? [];
    if (key === undefined || value === undefined) continue;
    const name = String(key.value);
    if (Object.hasOwn(object, name)) {
      throw new ConfigError([`${position(source, key.offset)}: ${JSON.stringify(name)} is given twice`]);
    }
    object[name] = toValue(source, value);
  }
  return object;
}
