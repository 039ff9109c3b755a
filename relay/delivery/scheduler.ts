/**
 * Decides which messages are on a round now: fresh mail as it arrives, the
 * backlog of it, and of what waits in emails/failed as much as resends.ts says.
 * Keeps a bounded window of messages in memory however many are queued; never
 * looks at a reply.
 */
import { setMaxListeners } from 'node:events';
import { type Claim, type ClaimQuery, type Spool, SpoolError } from '../spool/spool.ts';
import type { Emit } from '../telemetry/events.ts';
import { abandonable } from './abandonable.ts';
import { resendDelay } from './backoff.ts';
import type { RoundSettings } from './journal.ts';
import type { Provider } from './provider.ts';
import { Resends } from './resends.ts';
import { Round, type RoundDeps, type RoundEnd } from './round.ts';
import type { Lane } from './waiting-line.ts';
import { whenRoom } from './when-room.ts';

export interface SchedulerDeps {
  readonly spool: Spool;
  readonly emit: Emit;
  /** The store can no longer be trusted, for that reason: nothing more is sent from it. */
  readonly storeFailed: (reason: string) => void;
  readonly now: () => number;
  readonly random: () => number;
  readonly settings: () => RoundSettings;
  readonly providers: () => readonly Provider[];
  /** Reads the header that it quotes by `read`. */
  readonly bounce: (
    ...what: [...Parameters<RoundDeps['bounce']>, read: Spool['read']]
  ) => ReturnType<RoundDeps['bounce']>;
}

/** Fresh messages on a round at once: enough for every connection and the tries that wait. */
const FRESH_WINDOW = 1000;
/** Bodies kept in memory for them; a message beyond it is read from the spool when its turn comes. */
const BODY_BYTES = 32 * 1024 * 1024;
/** Longest sleep between two looks at what is due, ms. */
const LOOK_MS = 30_000;

export class Scheduler {
  readonly #deps: SchedulerDeps;
  readonly #running: Record<Lane, number> = { fresh: 0, resend: 0 };
  readonly #claiming: Record<Lane, boolean> = { fresh: false, resend: false };
  readonly #lookAgain: Record<Lane, boolean> = { fresh: false, resend: false };
  readonly #resends: Resends;
  #stopping: AbortController | undefined;
  #bodyBytes = 0;
  /** There may be active messages in the store that are not on a round. */
  #backlog = true;
  /** Arrivals left to the backlog so far: tells whether one came while it was being read. */
  #leftBehind = 0;
  #lookTimer: NodeJS.Timeout | undefined;
  #lookAt = Number.POSITIVE_INFINITY;
  #idle: PromiseWithResolvers<void> | undefined;
  #broken: string | undefined;
  readonly #abandoned = new AbortController();

  constructor(deps: SchedulerDeps) {
    this.#deps = deps;
    this.#resends = new Resends({
      ...deps,
      again: () => this.#pump(),
      dueAt: at => this.#lookAtMost(at),
    });
    setMaxListeners(0, this.#abandoned.signal);
    deps.spool.onArrival({
      wanted: () => this.#hasRoom(),
      take: claim => this.#start(claim, 'fresh'),
    });
  }

  /** Why nothing is sent although it should be; undefined = all is well. */
  get broken(): string | undefined {
    return this.#broken;
  }

  /** Messages on a round now. */
  get running(): number {
    return this.#running.fresh + this.#running.resend;
  }

  /** There is mail to send, on a round or waiting for the next one. */
  get mailWaits(): boolean {
    const { active, failed } = this.#deps.spool.counts();
    return active.messages + failed.messages > 0;
  }

  /** Begins sending, or goes on after pause(). */
  resume(): void {
    if (this.#stopping !== undefined || this.#broken !== undefined) return;
    this.#stopping = new AbortController();
    setMaxListeners(0, this.#stopping.signal);
    this.#backlog = true;
    this.#pump();
  }

  /** Begins nothing more; rounds end at their next step. Transactions under way finish. */
  pause(): void {
    this.#stopping?.abort();
    this.#stopping = undefined;
    clearTimeout(this.#lookTimer);
    this.#lookAt = Number.POSITIVE_INFINITY;
  }

  /** Resolves when no message is on a round any more. Call pause() first. */
  settled(): Promise<void> {
    if (this.running === 0) return Promise.resolve();
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }

  /** The deadline of a stop has passed: what still waits for the disk, to read or for room, is given up. */
  abandon(): void {
    this.#abandoned.abort();
  }

  /** Sends everything in emails/failed now, at the pace of the ramp, each message once. */
  drain(reason: string): void {
    if (this.#stopping !== undefined) this.#resends.drain(reason);
  }

  /** Something may have become due or possible: looks again. */
  look(): void {
    this.#backlog = true;
    this.#pump();
  }

  #hasRoom(): boolean {
    const room =
      this.#stopping !== undefined &&
      !this.#backlog &&
      this.#running.fresh < FRESH_WINDOW &&
      this.#bodyBytes < BODY_BYTES;
    if (!room) {
      this.#backlog = true;
      this.#leftBehind += 1;
      if (this.#running.fresh === 0) setImmediate(() => this.#pump());
    }
    return room;
  }

  #pump(): void {
    if (this.#stopping === undefined) return;
    if (this.#backlog && this.#running.fresh < FRESH_WINDOW / 2) void this.#fill('fresh');
    void this.#fill('resend');
  }

  async #fill(lane: Lane): Promise<void> {
    if (this.#claiming[lane]) {
      // What it cannot see yet is looked for when it is done.
      this.#lookAgain[lane] = true;
      return;
    }
    const query = lane === 'fresh' ? this.#freshQuery() : this.#resends.query(this.#running.resend);
    if (query.limit < 1) return;
    this.#claiming[lane] = true;
    try {
      await this.#claim(lane, query);
    } catch (error) {
      this.#storeFailed(error);
    }
    this.#claiming[lane] = false;
    if (this.#lookAgain[lane]) this.#pump();
  }

  async #claim(lane: Lane, query: ClaimQuery): Promise<void> {
    this.#lookAgain[lane] = false;
    const leftBehind = this.#leftBehind;
    const claims = await this.#deps.spool.claim(query);
    for (const claim of claims) this.#start(claim, lane);
    if (lane === 'resend') return this.#resends.claimed(claims.length, query);
    if (claims.length < query.limit && leftBehind === this.#leftBehind) this.#backlog = false;
    else if (claims.length > 0) this.#lookAgain.fresh = true;
  }

  /** Active mail is due whenever it is seen: a clock set back must not hide it. */
  #freshQuery(): ClaimQuery {
    const limit = this.#bodyBytes < BODY_BYTES ? FRESH_WINDOW - this.#running.fresh : 0;
    return { state: 'active', dueBefore: Number.MAX_SAFE_INTEGER, limit };
  }

  #lookAtMost(at: number): void {
    if (at >= this.#lookAt || this.#stopping === undefined) return;
    clearTimeout(this.#lookTimer);
    this.#lookAt = at;
    const wait = Math.min(LOOK_MS, Math.max(0, at - this.#deps.now()));
    this.#lookTimer = setTimeout(() => {
      this.#lookAt = Number.POSITIVE_INFINITY;
      this.#pump();
    }, wait);
  }

  #start(claim: Claim, lane: Lane): void {
    this.#running[lane] += 1;
    this.#bodyBytes += claim.body?.length ?? 0;
    void this.#run(claim, lane).finally(() => {
      this.#running[lane] -= 1;
      this.#bodyBytes -= claim.body?.length ?? 0;
      if (this.running === 0) {
        this.#idle?.resolve();
        this.#idle = undefined;
      }
      if (lane === 'resend' || this.#backlog) this.#pump();
    });
  }

  async #run(claim: Claim, lane: Lane): Promise<void> {
    const { message } = claim;
    const { signal } = this.#stopping ?? { signal: AbortSignal.abort() };
    try {
      const end = await new Round(claim, lane, this.#roundDeps(signal)).run();
      await this.#ended(end, claim, lane);
    } catch (error) {
      await this.#deps.spool.release(message.id).catch(() => undefined);
      if (error instanceof SpoolError && error.kind === 'disk-full') this.#leftUnrecorded(message.id);
      else this.#storeFailed(error);
    }
  }

  async #ended(end: RoundEnd, { message }: Claim, lane: Lane): Promise<void> {
    if (end.kind === 'stopped') {
      await this.#deps.spool.release(message.id);
      this.#backlog = true;
    }
    if (end.kind === 'local') {
      this.#deps.emit({ event: 'spool-trouble', message: `message ${message.id}: ${end.message}` });
      this.#lookAtMost(this.#deps.now() + this.#resendDelay(message.rounds + 1));
    }
    if (end.kind !== 'settled') return;
    if (end.as === 'failed') this.#lookAtMost(this.#deps.now() + this.#resendDelay(message.rounds + 1));
    if (lane === 'fresh') return;
    if (end.as === 'failed') this.#resends.failed();
    else this.#resends.succeeded();
  }

  #resendDelay(rounds: number): number {
    return resendDelay(rounds, this.#deps.settings().resend, 0);
  }

  #roundDeps(stopping: AbortSignal): RoundDeps {
    const { spool, emit, now, random, settings, providers, bounce } = this.#deps;
    const { signal } = this.#abandoned;
    const abandoned = (): boolean => signal.aborted;
    const read: Spool['read'] = (id, claim) => abandonable(spool.read(id, claim), signal);
    return {
      read,
      note: (id, inFlight) => spool.note(id, inFlight),
      settle: (id, settlement) => whenRoom(() => spool.settle(id, settlement), abandoned),
      bounce: (message, recipients) => bounce(message, recipients, read),
      emit,
      now,
      random,
      settings,
      providers,
      stopping,
    };
  }

  /** A stop waited for room until its deadline. What a provider took is noted; the next start goes by that. */
  #leftUnrecorded(id: string): void {
    const message = `message ${id}: there was no room to record the end of its round before the stop`;
    this.#deps.emit({ event: 'spool-trouble', message });
  }

  /** The store cannot be trusted: sending more could only send twice. */
  #storeFailed(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof SpoolError && (error.kind === 'not-found' || error.kind === 'closed')) return;
    if (this.#broken !== undefined) return;
    this.#broken = `sending stopped: ${message}`;
    this.pause();
    this.#deps.storeFailed(this.#broken);
  }
}
