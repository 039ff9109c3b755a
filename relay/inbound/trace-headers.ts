/**
 * Writes the lines that the relay puts in front of a message: one Received
 * field (RFC 5321 section 4.4), then Message-ID and Date where the message has
 * none. They stand before the message's own header and touch nothing in it,
 * which DKIM allows (RFC 6376 section 5.4): signed fields stay as they were.
 */
import type { HeaderFacts } from './header-scanner.ts';

/** How the message came in. */
export interface TraceFacts {
  /** What the client called itself in HELO or EHLO. */
  readonly helo: string;
  /** The client's address without brackets. */
  readonly clientAddress: string;
  /** This relay's name. */
  readonly hostname: string;
  readonly extended: boolean;
  readonly secure: boolean;
  readonly authenticated: boolean;
  readonly smtpUtf8: boolean;
  readonly id: string;
  readonly recipients: readonly string[];
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

/** The longest HELO name that goes into a header: that of a domain (RFC 5321 section 4.5.3.1.2). */
const MAX_HELO = 255;

/** The bytes to put before the message; ends with CRLF, and with the empty line when the message has no header. */
export function traceHeaders(trace: TraceFacts, header: HeaderFacts): Buffer {
  const date = mailDate(trace.receivedAt);
  let text = receivedField(trace, date);
  if (!header.hasMessageId && !header.signedNames.has('message-id')) {
    text += `Message-ID: <${trace.id}@${headerName(trace.hostname)}>\r\n`;
  }
  if (!header.hasDate && !header.signedNames.has('date')) text += `Date: ${date}\r\n`;
  if (header.startsWithText) text += '\r\n';
  return Buffer.from(text, 'utf8');
}

function receivedField(trace: TraceFacts, date: string): string {
  const from = `from ${headerName(trace.helo)} (${addressLiteral(trace.clientAddress)})`;
  const by = `by ${headerName(trace.hostname)} with ${protocol(trace)} id ${trace.id}`;
  // Naming one of several recipients would tell it to the others (RFC 5321 section 7.2).
  const only = trace.recipients.length === 1 ? `\r\n\tfor <${trace.recipients[0]}>` : '';
  return `Received: ${from}\r\n\t${by}${only};\r\n\t${date}\r\n`;
}

/** RFC 3848, and RFC 6531 section 4.3 for SMTPUTF8. */
function protocol(trace: TraceFacts): string {
  const base = trace.smtpUtf8 ? 'UTF8SMTP' : trace.extended ? 'ESMTP' : 'SMTP';
  return `${base}${trace.secure ? 'S' : ''}${trace.authenticated ? 'A' : ''}`;
}

/** RFC 5321 section 4.1.3. */
export function addressLiteral(address: string): string {
  return address.includes(':') ? `[IPv6:${address}]` : `[${address}]`;
}

/** A name a client gave itself, with everything that means something in a header replaced. */
function headerName(name: string): string {
  const safe = name.slice(0, MAX_HELO).replace(/[^A-Za-z0-9._:[\]-]/g, '?');
  return safe === '' ? 'unknown' : safe;
}

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** RFC 5322 section 3.3, in UTC. */
export function mailDate(at: number): string {
  const date = new Date(at);
  const two = (value: number): string => String(value).padStart(2, '0');
  const day = `${DAYS[date.getUTCDay()]}, ${two(date.getUTCDate())} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  return `${day} ${two(date.getUTCHours())}:${two(date.getUTCMinutes())}:${two(date.getUTCSeconds())} +0000`;
}
