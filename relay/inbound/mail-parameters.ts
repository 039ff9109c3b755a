/** Judges the parameters of MAIL and RCPT against what EHLO offers: what was not offered is refused, not ignored. */
import { type MailPath, printable } from './mail-path.ts';
import { type Refusal, refusals } from './refusals.ts';

/** What MAIL declared. */
export interface MailDeclaration {
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  /** RFC 1870 SIZE, bytes; 0 = not said. */
  readonly size: number;
}

/** AUTH= (RFC 4954 section 5) is accepted, as it must be, and has no meaning here. */
const MAIL_KEYWORDS = new Set(['BODY', 'SIZE', 'SMTPUTF8', 'AUTH']);

export function mailDeclaration({ parameters }: MailPath): MailDeclaration | Refusal {
  const unknown = [...parameters.keys()].find(key => !MAIL_KEYWORDS.has(key));
  if (unknown !== undefined) return notOffered(unknown);
  const body = parameters.get('BODY') ?? '7BIT';
  if (body === true || !/^(7BIT|8BITMIME)$/i.test(body)) {
    return refusals.syntax(501, '5.5.4', 'BODY must be 7BIT or 8BITMIME');
  }
  const size = parameters.get('SIZE') ?? '0';
  if (size === true || !/^\d{1,20}$/.test(size)) {
    return refusals.syntax(501, '5.5.4', 'SIZE must be a number of bytes');
  }
  const utf8 = parameters.get('SMTPUTF8');
  if (typeof utf8 === 'string') return refusals.syntax(501, '5.5.4', 'SMTPUTF8 takes no value');
  return { eightBit: /^8/.test(body), smtpUtf8: utf8 === true, size: Number(size) };
}

/** RCPT has no parameters without DSN (RFC 3461), which is not offered. */
export function recipientFault({ parameters }: MailPath): Refusal | undefined {
  const [first] = parameters.keys();
  return first === undefined ? undefined : notOffered(first);
}

function notOffered(keyword: string): Refusal {
  return refusals.syntax(555, '5.5.4', `Parameter ${printable(keyword)} is not offered here`);
}
