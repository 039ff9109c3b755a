/**
 * Reads the arguments of MAIL and RCPT (RFC 5321 sections 4.1.1.2, 4.1.1.3 and
 * 4.1.2). Addresses come out exactly as the client wrote them, only without
 * the angle brackets and a source route: what a provider sees must be what the
 * application said. The library's parser decodes punycode and refuses quoted
 * local parts that hold a space or an @.
 *
 * Lenient where widely used senders are (dots anywhere in a local part: some
 * mobile carriers have such mailboxes), strict about everything that could
 * mean two things to two servers.
 */
import { isUtf8 } from 'node:buffer';
import { isIPv4, isIPv6 } from 'node:net';

export type Parameters = ReadonlyMap<string, string | true>;

/** An argument that was understood. `address` is '' for `<>`. */
export interface MailPath {
  readonly address: string;
  readonly parameters: Parameters;
  /** The address holds characters outside ASCII. */
  readonly international: boolean;
}

/** Or why it was not, in words for the reply. `part` says which of 5.1.x and 5.5.4 it is. */
export interface PathFault {
  readonly fault: string;
  readonly part: 'command' | 'address' | 'parameter';
}

/** RFC 5321 section 4.5.3.1.3: 256 octets with the brackets. Local parts may use all of it (section 4.5.3.1.1 asks for 64; forwarders exceed that). */
const MAX_ADDRESS = 254;
const MAX_DOMAIN = 255;

const COMMAND = { FROM: /^\S+\s+FROM\s*:/i, TO: /^\S+\s+TO\s*:/i };
const SYNTAX = { FROM: 'write MAIL FROM:<address>', TO: 'write RCPT TO:<address>' };
/** `<` path `>` and what follows. A quoted local part may hold `>`. */
const ARGUMENT = /^\s*<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>(.*)$/s;
const PARAMETER = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=(.*))?$/s;
const SOURCE_ROUTE = /^@[^\s,:@<>"]+(?:,@[^\s,:@<>"]+)*:/;
// Control characters, and the invisible ones that make one address look like another.
const UNSAFE = /[\p{Cc}\u200b\u2028\u2029\u2060\ufeff]/u;
const DOT_STRING = /^[^\s"(),:;<>@[\\\]]+$/;
const QUOTED = /^"(?:[^"\\]|\\.)*"$/;
const DOMAIN_LABEL =
  /^[A-Za-z0-9_\u0080-\u{10ffff}](?:[A-Za-z0-9_\u0080-\u{10ffff}-]*[A-Za-z0-9_\u0080-\u{10ffff}])?$/u;

/**
 * Parses what follows `MAIL FROM:` or `RCPT TO:` in a command line without its
 * line end. `keyword` is `FROM` or `TO`.
 */
export function parsePath(line: Buffer, keyword: 'FROM' | 'TO'): MailPath | PathFault {
  if (!isUtf8(line)) return { fault: 'the address is not UTF-8', part: 'address' };
  const text = line.toString('utf8');
  const start = COMMAND[keyword].exec(text);
  if (start === null) return { fault: SYNTAX[keyword], part: 'command' };
  const argument = ARGUMENT.exec(text.slice(start[0].length));
  if (argument === null) return { fault: 'the address must stand in angle brackets', part: 'address' };
  const parameters = parseParameters(argument[2] as string);
  if ('fault' in parameters) return parameters;
  const address = (argument[1] as string).replace(SOURCE_ROUTE, '');
  const fault = address === '' ? undefined : addressFault(address, keyword);
  if (fault !== undefined) return { fault, part: 'address' };
  return { address, parameters, international: Buffer.byteLength(address) !== address.length };
}

function parseParameters(text: string): Parameters | PathFault {
  const parameters = new Map<string, string | true>();
  if (text === '') return parameters;
  if (!/^\s/.test(text)) return { fault: 'a blank must follow the address', part: 'parameter' };
  for (const word of text.split(/\s+/).filter(part => part !== '')) {
    const fault = addParameter(parameters, word);
    if (fault !== undefined) return { fault, part: 'parameter' };
  }
  return parameters;
}

function addParameter(parameters: Map<string, string | true>, word: string): string | undefined {
  const [, key, value] = PARAMETER.exec(word) ?? [];
  if (key === undefined || value === '')
    return `parameter ${printable(word)} is not KEYWORD or KEYWORD=value`;
  const name = key.toUpperCase();
  if (parameters.has(name)) return `parameter ${name} is given twice`;
  parameters.set(name, value ?? true);
  return undefined;
}

function addressFault(address: string, keyword: 'FROM' | 'TO'): string | undefined {
  if (UNSAFE.test(address)) return 'control and invisible characters are not allowed in an address';
  // Legal in a quoted part (RFC 5321 section 4.1.2); where the path ends is then read in two ways by two servers.
  if (/[<>]/.test(address)) return 'angle brackets are not allowed inside an address';
  if (Buffer.byteLength(address) > MAX_ADDRESS) return `an address has at most ${MAX_ADDRESS} bytes`;
  // RFC 5321 section 4.1.1.3: the one recipient that needs no domain.
  if (keyword === 'TO' && address.toLowerCase() === 'postmaster') return undefined;
  const at = address.lastIndexOf('@');
  if (at < 0) return 'the address has no domain';
  const local = address.slice(0, at);
  if (!DOT_STRING.test(local) && !QUOTED.test(local)) return 'the part before the @ is not valid';
  return domainFault(address.slice(at + 1));
}

function domainFault(domain: string): string | undefined {
  if (domain.startsWith('['))
    return isAddressLiteral(domain) ? undefined : 'the address literal is not valid';
  if (Buffer.byteLength(domain) > MAX_DOMAIN) return `a domain has at most ${MAX_DOMAIN} bytes`;
  return domain.split('.').every(label => DOMAIN_LABEL.test(label)) ? undefined : 'the domain is not valid';
}

/** RFC 5321 section 4.1.3. */
function isAddressLiteral(domain: string): boolean {
  const inner = /^\[(.*)\]$/.exec(domain)?.[1] ?? '';
  return isIPv4(inner) || (/^ipv6:/i.test(inner) && isIPv6(inner.slice(5)));
}

/** Text of a client for a reply: short and without control characters. */
export function printable(text: string): string {
  return text.slice(0, 80).replace(/\p{Cc}/gu, '?');
}
