/** Sessions without a network, and what a provider needs around it: for tests of what is built on sessions. */
import type { ProviderConfig, ResendConfig, RetryConfig } from '../../../relay/config/config.ts';
import { type Failure, SessionError } from '../../../relay/delivery/failure.ts';
import type { Provider, ProviderDeps } from '../../../relay/delivery/provider.ts';
import type {
  AtDot,
  Body,
  OpenSession,
  Session,
  TransactionEnvelope,
  TransactionReport,
} from '../../../relay/delivery/session.ts';
import type { MessageId, StoredMessage } from '../../../relay/spool/message.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';

export const retry: RetryConfig = { attempts: 3, initialDelayMs: 1, multiplier: 2, patienceMs: 1000 };

export const resend: ResendConfig = {
  initialDelayMs: 60_000,
  maxDelayMs: 3_600_000,
  multiplier: 2,
  jitter: 0.2,
  expireAfterMs: 432_000_000,
  deadRetentionMs: 1,
  deadMaxMessages: 1,
  deadMaxBytes: 1,
  bounces: false,
};

/** What a session does with one transaction: a report, or a function that makes it. */
export type Answer =
  | TransactionReport
  | ((envelope: TransactionEnvelope, body: Body) => TransactionReport | Promise<TransactionReport>);

export class FakeSession implements Session {
  transactions = 0;
  quietMs = 0;
  usable = true;
  closedBy: 'quit' | 'destroy' | undefined;
  answersNoop = true;
  readonly envelopes: TransactionEnvelope[] = [];
  readonly answers: Answer[];
  #listener: (() => void) | undefined;

  constructor(answers: Answer[] = []) {
    this.answers = answers;
  }

  async transact(envelope: TransactionEnvelope, body: Body, atDot?: AtDot): Promise<TransactionReport> {
    this.transactions += 1;
    this.envelopes.push(envelope);
    const answer = this.answers.shift() ?? delivered;
    const report = await (typeof answer === 'function' ? answer(envelope, body) : answer);
    const dot = report.accepted !== undefined || report.failure?.stage === 'dot';
    if (dot) atDot?.([...report.recipients.keys()].filter(index => report.recipients[index]?.code === 250));
    return report;
  }

  async noop(): Promise<boolean> {
    return this.answersNoop;
  }

  async quit(): Promise<void> {
    this.usable = false;
    this.closedBy ??= 'quit';
  }

  destroy(): void {
    this.usable = false;
    this.closedBy ??= 'destroy';
  }

  onClose(listener: () => void): void {
    this.#listener = listener;
  }

  /** The peer ends it while it is idle. */
  end(): void {
    this.usable = false;
    this.#listener?.();
  }
}

const ok = { code: 250, text: 'ok' } as const;

/** Every recipient and the dot got a 250. */
export function delivered({ recipients }: TransactionEnvelope): TransactionReport {
  return { recipients: recipients.map(() => ok), accepted: ok, unanswered: false };
}

/** Recipients accepted, then this failure. */
export function brokenBy(failure: Omit<Failure, 'message'>): Answer {
  return ({ recipients }) => ({
    recipients: recipients.map(() => ok),
    failure: { message: 'as scripted', ...failure },
    unanswered: false,
  });
}

/** The transaction ends with this reply at that stage. */
export function refusedAt(stage: Failure['stage'], code: number, text: string, enhanced?: string): Answer {
  return brokenBy({
    stage,
    fault: 'reply',
    reply: { code, text, ...(enhanced === undefined ? {} : { enhanced }) },
  });
}

/** Each recipient is answered by its own code. */
export function recipientCodes(...codes: readonly [number, string?][]): Answer {
  return () => {
    const recipients = codes.map(([code, enhanced]) => ({
      code,
      text: '',
      ...(enhanced === undefined ? {} : { enhanced }),
    }));
    const somebody = codes.some(([code]) => code < 300);
    return { recipients, ...(somebody ? { accepted: ok } : {}), unanswered: false };
  };
}

export function openFailure(failure: Omit<Failure, 'message'>): SessionError {
  return new SessionError({ message: 'as scripted', ...failure });
}

export interface Surroundings {
  readonly deps: ProviderDeps;
  readonly events: RelayEvent[];
  readonly sessions: FakeSession[];
  /** Health kinds as they changed. */
  readonly changes: string[];
}

/** Opens what `open` gives; by default a session that delivers everything. */
export function surroundings(
  open: (config: ProviderConfig, count: number) => FakeSession | Promise<FakeSession> = () =>
    new FakeSession(),
  settings: Partial<RetryConfig> = {},
): Surroundings {
  const events: RelayEvent[] = [];
  const sessions: FakeSession[] = [];
  const changes: string[] = [];
  let opened = 0;
  const openSession: OpenSession = async config => {
    opened += 1;
    const session = await open(config, opened);
    sessions.push(session);
    return session;
  };
  const deps: ProviderDeps = {
    openSession,
    emit: event => events.push(event),
    now: () => performance.now(),
    wallClock: Date.now,
    random: () => 0.5,
    retry: () => ({ ...retry, ...settings }),
    rules: () => [],
    urgent: () => false,
    healthChanged: (provider: Provider) => changes.push(provider.health.kind),
  };
  return { deps, events, sessions, changes };
}

export function storedMessage(differences: Partial<StoredMessage> = {}): StoredMessage {
  return {
    id: '0m000000000000001' as MessageId,
    state: 'active',
    sender: 'app@example.com',
    recipients: [{ address: 'a@example.net', state: 'pending' }],
    eightBit: false,
    smtpUtf8: false,
    size: 100,
    receivedAt: Date.now(),
    dueAt: 0,
    rounds: 0,
    reason: '',
    ...differences,
  };
}
