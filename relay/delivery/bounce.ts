/**
 * Builds the message that tells a sender which recipients did not get a mail:
 * multipart/report (RFC 6522) with a delivery status (RFC 3464), or their
 * internationalised forms (RFC 6533) when an address or the mail needed
 * SMTPUTF8. It answers no null sender, so bounces never bounce; nothing a
 * provider or a client wrote can add a header or end a part.
 */
import type { Envelope, Recipient, StoredMessage } from '../spool/message.ts';

/** What the caller knows and this must not find out by itself. */
export interface BounceContext {
  /** Name of this relay: Reporting-MTA, From and Message-ID carry it. */
  readonly hostname: string;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Unique, for Message-ID and the boundary; letters and digits. */
  readonly token: string;
  /** The first bytes of the original message; what follows its header is not used. */
  readonly head: Buffer;
}

/** A message ready for the spool: canonical CRLF lines, under the null sender. */
export interface Bounce {
  readonly envelope: Envelope;
  readonly content: Buffer;
}

/** RFC 5322 section 2.1.1, without the CRLF. */
const longestLine = 998;

/** Delivery time expired (RFC 3463 section 3.5). */
const expiredStatus = '4.4.7';

const crlf = '\r\n';

type Ended = Recipient & { readonly state: 'rejected' | 'expired' };

/**
 * The bounce for those of `recipients` that were rejected or expired and in
 * no bounce before. Undefined when none is due: there is nobody of the kind, the sender is null, or the
 * sender is no address that mail could be sent to.
 */
export function buildBounce(
  message: StoredMessage,
  recipients: readonly Recipient[],
  context: BounceContext,
): Bounce | undefined {
  const ended = recipients.filter(isUntold);
  if (ended.length === 0 || !isSendable(message.sender)) return undefined;
  const utf8 = message.smtpUtf8 || [message.sender, ...ended.map(({ address }) => address)].some(hasNonAscii);
  const line = (text: string): string => printable(text, utf8);
  const host = context.hostname.replace(/[^A-Za-z0-9.:[\]-]/g, '-');
  const original = headerOf(context.head, line);
  const parts = [
    explanation({ message, recipients, ended, host, line, utf8 }),
    status({ message, ended, host, line, utf8 }),
    returned(original, utf8),
  ];
  const boundary = boundaryFor(parts, context.token);
  const head = [
    `From: Mail Delivery System <MAILER-DAEMON@${host}>`,
    `To: <${line(message.sender)}>`,
    `Subject: Undelivered mail: ${ended.length} of ${recipients.length} ${plural(recipients.length)} not reached`,
    `Date: ${date(context.now)}`,
    `Message-ID: <${tokenOf(context.token)}@${host}>`,
    ...references(original),
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    `Content-Type: multipart/report; report-type=${utf8 ? 'global-delivery-status' : 'delivery-status'};`,
    ` boundary="${boundary}"`,
    ...(utf8 ? ['Content-Transfer-Encoding: 8bit'] : []),
  ];
  const body = parts.flatMap(part => [`--${boundary}`, ...part]);
  const lines = [...head, '', ...body, `--${boundary}--`, ''];
  return {
    envelope: { sender: '', recipients: [message.sender], eightBit: utf8, smtpUtf8: utf8 },
    content: Buffer.from(lines.join(crlf), 'utf8'),
  };
}

/** Ended badly, and the sender was not told of it yet. */
export function isUntold(recipient: Recipient): recipient is Ended {
  return (recipient.state === 'rejected' || recipient.state === 'expired') && recipient.bounced !== true;
}

/** Not the null sender, and nothing in it that could leave its angle brackets. */
function isSendable(sender: string): boolean {
  return sender !== '' && sender.length <= 320 && !/[\p{Cc}<>]/u.test(sender);
}

function explanation(told: {
  readonly message: StoredMessage;
  readonly recipients: readonly Recipient[];
  readonly ended: readonly Ended[];
  readonly host: string;
  readonly line: (text: string) => string;
  readonly utf8: boolean;
}): string[] {
  const { message, recipients, ended, host, line, utf8 } = told;
  return [
    'Content-Type: text/plain; charset=utf-8',
    ...(utf8 ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    `This is the mail relay at ${host}.`,
    '',
    `Your message ${message.id}, accepted ${date(message.receivedAt)}, did not reach`,
    `${ended.length} of its ${recipients.length} ${plural(recipients.length)}. It will not be tried again.`,
    '',
    ...ended.flatMap(recipient => [
      line(`<${recipient.address}> ${recipient.state === 'expired' ? 'given up' : 'refused'}`),
      ...(recipient.provider === undefined ? [] : [line(`    by ${recipient.provider}`)]),
      ...(recipient.reply === undefined ? [] : [line(`    ${recipient.reply}`)]),
      '',
    ]),
  ];
}

function status(told: {
  readonly message: StoredMessage;
  readonly ended: readonly Ended[];
  readonly host: string;
  readonly line: (text: string) => string;
  readonly utf8: boolean;
}): string[] {
  const { message, ended, host, line, utf8 } = told;
  return [
    `Content-Type: message/${utf8 ? 'global-delivery-status' : 'delivery-status'}`,
    ...(utf8 ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    `Reporting-MTA: dns; ${host}`,
    `Arrival-Date: ${date(message.receivedAt)}`,
    '',
    ...ended.flatMap(recipient => [
      line(`Final-Recipient: ${hasNonAscii(recipient.address) ? 'utf-8' : 'rfc822'}; ${recipient.address}`),
      'Action: failed',
      `Status: ${statusOf(recipient)}`,
      ...diagnostic(recipient).map(line),
      ...(recipient.at === undefined ? [] : [`Last-Attempt-Date: ${date(recipient.at)}`]),
      '',
    ]),
  ];
}

function returned(original: readonly string[], utf8: boolean): string[] {
  return [
    `Content-Type: ${utf8 ? 'message/global-headers' : 'text/rfc822-headers'}`,
    ...(utf8 ? ['Content-Transfer-Encoding: 8bit'] : []),
    '',
    ...original,
    '',
  ];
}

/** The enhanced code of the answer (RFC 3463); 5.0.0 when it had none. */
function statusOf({ state, reply }: Ended): string {
  if (state === 'expired') return expiredStatus;
  return /^5\d\d (5\.\d{1,3}\.\d{1,3})\b/.exec(reply ?? '')?.[1] ?? '5.0.0';
}

/** Only what an SMTP server said is of type smtp (RFC 3464 section 2.3.6). */
function diagnostic({ reply }: Ended): string[] {
  return reply !== undefined && /^[45]\d\d\b/.test(reply) ? [`Diagnostic-Code: smtp; ${reply}`] : [];
}

/** Threads the bounce with the original where its Message-ID is a plain one (RFC 3834 section 3.1.5). */
function references(original: readonly string[]): string[] {
  for (const header of original) {
    const id = /^message-id:[ \t]*(<[\x21-\x3b\x3d\x3f-\x7e]{3,250}>)[ \t]*$/i.exec(header)?.[1];
    if (id !== undefined) return [`In-Reply-To: ${id}`, `References: ${id}`];
  }
  return [];
}

/** Lines of the header section, whole ones only. */
function headerOf(head: Buffer, line: (text: string) => string): string[] {
  const text = head.toString('utf8');
  const lines = text.split(/\r\n|\r|\n/);
  const end = lines.indexOf('');
  // Without an empty line the last one may have been cut anywhere.
  const header = end === -1 ? lines.slice(0, -1) : lines.slice(0, end);
  return header.map(line);
}

/** One line that fits RFC 5322: no control characters but tab, ASCII alone unless `utf8`, at most 998 octets. */
function printable(text: string, utf8: boolean): string {
  const clean = text.replace(/[^\P{Cc}\t]/gu, '?').toWellFormed();
  const allowed = utf8 ? clean : clean.replace(/\P{ASCII}/gu, '?');
  if (Buffer.byteLength(allowed) <= longestLine) return allowed;
  // A cut inside a character leaves U+FFFD (3 octets) in its place.
  return Buffer.from(allowed)
    .subarray(0, longestLine - 3)
    .toString('utf8');
}

/** A boundary that no line of any part begins with. */
function boundaryFor(parts: readonly (readonly string[])[], token: string): string {
  const stem = `report-${tokenOf(token)}`;
  const taken = (boundary: string): boolean =>
    parts.some(part => part.some(line => line.startsWith(`--${boundary}`)));
  let boundary = stem;
  for (let suffix = 1; taken(boundary); suffix += 1) boundary = `${stem}-${suffix}`;
  return boundary;
}

/** RFC 2046 allows 70 characters of boundary. */
function tokenOf(token: string): string {
  return token.replace(/[^A-Za-z0-9]/g, '').slice(0, 40) || 'bounce';
}

function hasNonAscii(text: string): boolean {
  return /\P{ASCII}/u.test(text);
}

function plural(count: number): string {
  return count === 1 ? 'recipient' : 'recipients';
}

/** RFC 5322 section 3.3, in UTC. */
function date(ms: number): string {
  return new Date(ms).toUTCString().replace('GMT', '+0000');
}
