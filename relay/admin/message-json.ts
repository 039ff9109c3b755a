/**
 * A stored message as JSON, the same in the API, `--json` and exported files:
 * times ISO 8601 in UTC. Reading it back checks everything, for it may have
 * been written by a person.
 */
import type { Envelope, Recipient, RecipientState, StoredMessage } from '../spool/message.ts';
import { HttpError } from './http-error.ts';

export interface RecipientJson {
  readonly address: string;
  readonly state: RecipientState;
  readonly provider?: string;
  readonly reply?: string;
  readonly at?: string;
  readonly ambiguous?: number;
  readonly bounced?: true;
}

export interface MessageJson {
  readonly id: string;
  readonly state: string;
  readonly sender: string;
  readonly recipients: readonly RecipientJson[];
  readonly eightBit: boolean;
  readonly smtpUtf8: boolean;
  readonly size: number;
  readonly receivedAt: string;
  readonly dueAt: string;
  readonly rounds: number;
  readonly reason: string;
}

export function messageJson(message: StoredMessage): MessageJson {
  const { id, state, sender, recipients, eightBit, smtpUtf8, size, receivedAt, dueAt, rounds, reason } =
    message;
  return {
    id,
    state,
    sender,
    recipients: recipients.map(({ at, ...recipient }) => ({
      ...recipient,
      ...(at !== undefined && { at: iso(at) }),
    })),
    eightBit,
    smtpUtf8,
    size,
    receivedAt: iso(receivedAt),
    dueAt: iso(dueAt),
    rounds,
    reason,
  };
}

/** What an import needs to know of a message besides its body. */
export interface Adoptable {
  readonly envelope: Envelope;
  readonly recipients: readonly Recipient[];
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

/** RFC 5321 section 4.5.3.1.3: a path is at most 256 octets; UTF-8 addresses are given as many again. */
const maxAddress = 512;
const maxRecipients = 10_000;
const recipientStates: readonly unknown[] = ['pending', 'delivered', 'rejected', 'expired'];

/**
 * Checks the JSON of a message to import. `sender` and `recipients` (texts or
 * objects) are needed; other fields have defaults, unknown ones are ignored.
 * Throws HttpError 400. `now`: milliseconds since the epoch.
 */
export function readAdoptable(given: Readonly<Record<string, unknown>>, now: number): Adoptable {
  const sender = given['sender'] === '' ? '' : readAddress(given['sender'], 'sender');
  const recipients = readRecipients(given['recipients']);
  if (!recipients.some(({ state }) => state === 'pending')) {
    throw new HttpError(400, 'recipients: none is pending, so there is nothing to send');
  }
  const addresses = recipients.map(({ address }) => address);
  return {
    envelope: {
      sender,
      recipients: addresses,
      eightBit: readFlag(given, 'eightBit') ?? false,
      smtpUtf8: readFlag(given, 'smtpUtf8') ?? [sender, ...addresses].some(beyondAscii),
    },
    recipients,
    receivedAt: readTime(given['receivedAt'], 'receivedAt') ?? now,
  };
}

function readRecipients(value: unknown): readonly Recipient[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > maxRecipients) {
    throw new HttpError(400, `recipients must be a list of 1 to ${maxRecipients}`);
  }
  return value.map((each: unknown, i) => readRecipient(each, `recipients[${i}]`));
}

function readRecipient(value: unknown, field: string): Recipient {
  if (typeof value === 'string') return { address: readAddress(value, field), state: 'pending' };
  if (value === null || typeof value !== 'object')
    throw refused(field, value, 'an address or an object with address');
  const given = value as Record<string, unknown>;
  const { address, state = 'pending', provider, reply, at, ambiguous, bounced } = given;
  if (!recipientStates.includes(state)) {
    throw refused(`${field}.state`, state, `one of ${recipientStates.join(', ')}`);
  }
  const time = readTime(at, `${field}.at`);
  return {
    address: readAddress(address, `${field}.address`),
    state: state as RecipientState,
    ...(typeof provider === 'string' && { provider: provider.slice(0, 256) }),
    ...(typeof reply === 'string' && { reply: reply.slice(0, 1024) }),
    ...(time !== undefined && { at: time }),
    ...(Number.isSafeInteger(ambiguous) && (ambiguous as number) > 0 && { ambiguous: ambiguous as number }),
    ...(bounced === true && state !== 'pending' && { bounced }),
  };
}

/**
 * No control character, angle bracket or space: such an address could end the
 * command it is sent in. A quoted local part may hold spaces (RFC 5321 section 4.1.2).
 */
export function isAddress(text: string): boolean {
  return text.length <= maxAddress && addressForm.test(text);
}

const addressForm = /^(?:"(?:[^"\\<>\p{Cc}]|\\[^<>\p{Cc}])*"@)?[^ \u00a0<>\p{Cc}]+$/u;

function readAddress(value: unknown, field: string): string {
  if (typeof value !== 'string' || !isAddress(value)) {
    throw refused(
      field,
      value,
      `an address of at most ${maxAddress} characters without spaces, controls, < and >`,
    );
  }
  return value;
}

function readFlag(given: Readonly<Record<string, unknown>>, field: string): boolean | undefined {
  const value = given[field];
  if (value === undefined || typeof value === 'boolean') return value;
  throw refused(field, value, 'true or false');
}

function readTime(value: unknown, field: string): number | undefined {
  if (value === undefined) return undefined;
  const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(ms)) throw refused(field, value, 'a time like 2026-01-31T12:00:00Z');
  return ms;
}

function refused(field: string, value: unknown, allowed: string): HttpError {
  const json = JSON.stringify(value) ?? 'absent';
  return new HttpError(400, `${field} must be ${allowed}, not ${json.slice(0, 100)}`);
}

function beyondAscii(text: string): boolean {
  return Buffer.byteLength(text) !== text.length;
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
