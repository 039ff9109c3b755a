/**
 * What each event means, how loud it is, which ones the log only counts, and
 * what the fields say: the one table behind log.ts and docs/events.md. The
 * compiler refuses it when an event or a field is missing here or is no longer
 * in events.ts.
 */
import type { RelayEvent } from './events.ts';

export type Level = 'debug' | 'info' | 'warn' | 'error';

export type EventName = RelayEvent['event'];

/** The type of the events that may bear the name N. */
export type EventNamed<N extends EventName> = RelayEvent extends infer E
  ? E extends { readonly event: infer Names }
    ? N extends Names
      ? E
      : never
    : never
  : never;

type FieldOf<N extends EventName> = Exclude<keyof EventNamed<N>, 'event'>;

/** Two events of one name are the same to the log when the fields `equal` are; where too many differ, `givenUp` is left out of them. */
export interface Repeating<Field> {
  readonly equal: readonly Field[];
  readonly givenUp: Field;
  /** How many of the same are told at once; absent = one. The more, the fewer are told apart. */
  readonly first?: number;
  /** Words that hold a digit make no difference: numbers, codes, the names that servers give their mail. */
  readonly regardlessOfNumbers?: true;
}

/** One event: its usual level, and another one where it can be bad news. */
export interface Entry<N extends EventName> {
  readonly level: Level;
  /** When the event is trouble, it is logged at `level` here instead. */
  readonly trouble?: {
    readonly level: Level;
    readonly when: string;
    readonly test: (event: EventNamed<N>) => boolean;
  };
  /**
   * For events that a client can bring about as often as it likes, and for
   * mail that still waits, which one outage says of all mail at once: see
   * repeats.ts. Never for an attempt or for the end of accepted mail.
   */
  readonly repeats?: Repeating<FieldOf<N>>;
  readonly meaning: string;
  readonly fields: Readonly<Record<FieldOf<N>, string>>;
}

export type Catalogue = { readonly [N in EventName]: Entry<N> };

const id = 'The message, the same in every event of its life and in the reply to DATA.';
const provider = 'Name of the provider.';
const reply = 'What was answered, at most 512 characters, control characters escaped.';
const spoolFields = {
  message: 'What happened, a sentence.',
  count: 'How many messages, where that applies.',
};
const programFields = { message: 'What happened, a sentence.' };
const settledFields = {
  id,
  recipient: 'The address as the client gave it.',
  provider: 'Provider whose answer settled it; absent when none did.',
  reply,
  delayMs: 'Milliseconds from acceptance to this event.',
};

/** Every event. Order: the life of a message, then providers, then the program. */
export const catalogue: Catalogue = {
  'message-accepted': {
    level: 'info',
    meaning: 'A message is on disk and its client was told 250; from here on the relay answers for it.',
    fields: {
      id,
      client: 'Network address of the client.',
      authenticated: 'Whether the client had logged in; as whom is not logged.',
      sender: 'Envelope sender; empty for the null sender.',
      recipients: 'Number of recipients.',
      size: 'Bytes of the message.',
      commitMs: 'Milliseconds from the last byte of the message to its commit on disk.',
    },
  },
  'message-refused': {
    level: 'warn',
    repeats: { equal: ['reason', 'client'], givenUp: 'client' },
    meaning: 'The listener turned away a connection, a command or a message; nothing of it was kept.',
    fields: {
      reason:
        'Why: network-not-allowed, authentication-required, authentication-failed, too-many-connections, too-many-recipients, too-large, rate-limited, bare-newline, loop, syntax, timeout, disk-full, store-failed or shutting-down.',
      client: 'Network address of the client.',
      reply: 'The reply the client got.',
    },
  },
  attempt: {
    level: 'info',
    trouble: { level: 'warn', when: 'it did not deliver', test: event => event.outcome !== 'delivered' },
    meaning:
      'One try at one provider ended: of a message (`id` given) or of a connection for those that wait.',
    fields: {
      id: `${id} Absent when the try was of a connection.`,
      provider,
      host: 'Host of the provider.',
      try: 'Which try at this provider in this round, from 1.',
      tries: 'How many tries the provider gets in a round.',
      recipients: 'Recipients on board; 0 for a connection.',
      stage:
        'How far it came: dns, connect, tls, greeting, ehlo, starttls, auth, mail, rcpt, data, body, dot.',
      outcome: 'delivered, partial, failed, refused or ambiguous.',
      class:
        'Whose fault it is taken to be: network, tls, protocol, service, authentication, rate, sender, mailbox, policy, content, size, unknown or local (our own); none when delivered.',
      code: 'SMTP reply code; absent when no reply came.',
      enhanced: 'Enhanced status code (RFC 3463), when the reply had one.',
      reply,
      durationMs: 'Milliseconds the try took.',
      retryInMs: 'Milliseconds until the same provider is tried again; absent = not in this round.',
    },
  },
  'recipient-delivered': {
    level: 'info',
    meaning: 'A provider took responsibility for the message to this recipient.',
    fields: settledFields,
  },
  'recipient-rejected': {
    level: 'warn',
    meaning: 'This recipient was refused for good; the message is kept in emails/dead with the reply.',
    fields: settledFields,
  },
  'recipient-expired': {
    level: 'error',
    meaning: 'This recipient was given up because the message grew too old; it is kept in emails/dead.',
    fields: settledFields,
  },
  'delivery-ambiguous': {
    level: 'warn',
    meaning:
      'The message was handed over and no answer came, or the relay was killed before it did (then the next start tells it). Nobody can know whether it was taken; it is sent again later and may arrive twice.',
    fields: { id, provider, recipients: 'Recipients on board.', message: 'What ended the wait.' },
  },
  failover: {
    level: 'warn',
    meaning: 'A message went on from one provider to the next.',
    fields: {
      id,
      from: 'Provider it left.',
      to: 'Provider it goes to.',
      reason: 'Why the first one did not take it.',
    },
  },
  'round-failed': {
    level: 'warn',
    repeats: { equal: ['reason'], givenUp: 'reason', first: 10, regardlessOfNumbers: true },
    meaning:
      'No provider took the message in this round, or its bounce found no room; it lies in emails/failed and has another round later. What the log sums up of it, `mailrelay queue list` and `queue show` have of each message.',
    fields: {
      id,
      rounds: 'Rounds it has failed so far.',
      pending: 'Recipients still to be sent to.',
      dueInMs: 'Milliseconds until its next round.',
      reason:
        'What the last provider said, with `[address]` for each mail address in it, or what else is waited for.',
    },
  },
  'message-dead': {
    level: 'error',
    meaning: 'The message is over without every recipient delivered; it is kept in emails/dead.',
    fields: { id, reason: 'Why it ended.' },
  },
  'drain-started': {
    level: 'info',
    meaning: 'Waiting mail is being sent before its time because something changed.',
    fields: { reason: 'What changed.', messages: 'How many messages wait.' },
  },
  'provider-state': {
    level: 'info',
    trouble: {
      level: 'warn',
      when: 'the provider went out of use',
      test: event => event.state !== 'active' && event.state !== 'standby',
    },
    meaning: 'A provider changed its state.',
    fields: {
      provider,
      state: 'active, standby, cooling, failing, suspended or misconfigured.',
      previous: 'The state before.',
      reason: 'Why, one word from a fixed list.',
      message: 'Why, a sentence.',
    },
  },
  'recipient-limit-found': {
    level: 'warn',
    meaning:
      'A provider refused a message for having too many recipients, and took it in parts. Later mail is split before it is sent, until `limits.maxRecipientsPerMessage` of this provider is changed or the relay starts anew: set it to what the provider takes.',
    fields: {
      provider,
      recipients: 'Recipients that a transaction has from now on at most.',
      configured: 'What `limits.maxRecipientsPerMessage` says.',
      reply: 'How the provider refused more.',
    },
  },
  'provider-probe': {
    level: 'info',
    meaning: 'A provider that is out of use was tried in the background, without mail.',
    fields: {
      provider,
      ok: 'true when it can be used again.',
      message: 'What it said.',
      nextInMs: 'Milliseconds until the next probe; absent when none is needed.',
    },
  },
  'config-loaded': {
    level: 'info',
    trouble: { level: 'warn', when: 'it has warnings', test: event => event.warnings.length > 0 },
    meaning: 'A configuration was read and is in force.',
    fields: {
      fingerprint: 'Identifies the configuration; equal fingerprints run the same.',
      providers: 'Provider names in the order they are tried.',
      warnings: 'What is odd but not wrong, one sentence each.',
    },
  },
  'config-rejected': {
    level: 'error',
    meaning: 'A changed configuration has mistakes; the one before stays in force.',
    fields: { errors: 'The mistakes, one sentence each, naming the key.' },
  },
  'spool-recovered': {
    level: 'info',
    meaning: 'The store was opened and what an earlier process left was taken up again.',
    fields: spoolFields,
  },
  'spool-adopted': {
    level: 'info',
    meaning: 'On a shared volume: the mail of a relay that is gone is sent by this one.',
    fields: spoolFields,
  },
  'spool-waiting': {
    level: 'warn',
    meaning:
      'Another process still owns the directory: this relay waits for its end, for as long as an orderly one takes, and then gives up.',
    fields: {
      ...spoolFields,
      message: 'Which directory, which process on which host, and how long it is waited for.',
    },
  },
  'spool-failed': {
    level: 'error',
    meaning:
      'A write or sync failed: the store is no longer trusted, nothing is accepted or sent until restart.',
    fields: spoolFields,
  },
  'spool-trouble': {
    level: 'warn',
    repeats: { equal: ['message'], givenUp: 'message', first: 10, regardlessOfNumbers: true },
    meaning:
      'Something in the store could not be read, moved, removed, noted, recorded before a stop, or looked for, or the store of an adopted slot failed and the slot was given back. The own store is sound, everything else goes on, and no restart is asked for.',
    fields: spoolFields,
  },
  'spool-quarantined': {
    level: 'error',
    meaning: 'Something in the store was not understood and was moved to emails/quarantine, not deleted.',
    fields: spoolFields,
  },
  'disk-low': {
    level: 'error',
    meaning:
      'Free space fell below the reserve, or the volume took no more: new mail is refused for now, sending goes on.',
    fields: spoolFields,
  },
  'disk-recovered': {
    level: 'info',
    meaning: 'Free space is above the reserve again: new mail is accepted.',
    fields: spoolFields,
  },
  'dead-removed': {
    level: 'warn',
    meaning: 'Dead messages beyond retention (age, number or bytes) were removed for good.',
    fields: spoolFields,
  },
  'queue-operation': {
    level: 'info',
    meaning: 'Someone changed the queue by hand: resend, hold, release, delete or import.',
    fields: spoolFields,
  },
  started: {
    level: 'info',
    meaning: 'The relay is up and its listener accepts mail.',
    fields: programFields,
  },
  stopping: {
    level: 'info',
    meaning: 'The relay was told to stop; it finishes running transactions and accepts nothing new.',
    fields: programFields,
  },
  stopped: {
    level: 'info',
    meaning: 'The relay has stopped; everything it accepted is delivered or on disk.',
    fields: programFields,
  },
  'client-error': {
    level: 'debug',
    repeats: { equal: ['client'], givenUp: 'client' },
    meaning: 'A client connection failed on its own account: reset, silence, TLS refused.',
    fields: {
      client: 'Network address of the client; `listener` where no connection could be accepted at all.',
      message: programFields.message,
    },
  },
  'operation-failed': {
    level: 'error',
    repeats: { equal: ['reference'], givenUp: 'reference' },
    meaning:
      'A request to the admin port or the health port failed for a reason that the program does not know: a defect. Its answer was 500 and this reference, nothing else.',
    fields: {
      reference: 'Eight hexadecimal digits that the answer named, too; the same for the same exception.',
      message: 'Which request, and the exception.',
    },
  },
};

/** The level at which this event is logged. */
export function levelOf(event: RelayEvent): Level {
  const entry = catalogue[event.event] as Entry<EventName>;
  const { trouble } = entry;
  return trouble?.test(event as never) === true ? trouble.level : entry.level;
}
