/**
 * Leader election by a coordination.k8s.io/v1 Lease: one of several processes writes. A holder counts its right
 * from before it sent the renewal and gives up 5 s before anybody may take over; a candidate counts from when it
 * saw the last change, on its own clock, so that clocks may differ. What a lease cannot give: a write already on
 * its way when the right ends still arrives, so writes need time-outs below those 5 s: guard-writes.ts sets them.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { isAlreadyExists, isConflict, isNotFound } from './api-error.ts';
import { type Clock, microTime, sleep, systemClock } from './clock.ts';
import type { KubeObject } from './object.ts';
import { defineResource, type KubeClient } from './resource.ts';

export interface LeaderElectionOptions {
  client: KubeClient;
  namespace: string;
  name: string;
  /** Unique to this process: default host name and a random part. */
  identity?: string;
  leaseDurationMs?: number;
  renewDeadlineMs?: number;
  retryPeriodMs?: number;
  /** Called each time leadership begins; `signal` aborts when it ends. */
  onStarted: (signal: AbortSignal) => void;
  /** Called each time leadership ends. */
  onStopped: (why: 'lost' | 'released') => void;
  onError?: (error: Error) => void;
  clock?: Clock;
  random?: () => number;
}

export interface LeaderElection {
  readonly identity: string;
  start(): void;
  /** To be asked before each write: computed from the clock, so a stalled process gets `false` before any timer ran. */
  isLeader(): boolean;
  /** Who holds the lease, as last seen. */
  readonly holder: string | undefined;
  /** Time since the last successful renewal while leading; for the liveness probe. */
  sinceRenewalMs(): number | undefined;
  /** Gives the lease back (so that another takes it within a retry period) and ends. Drain writers first. */
  stop(): Promise<void>;
}

interface LeaseSpec {
  holderIdentity?: string;
  leaseDurationSeconds?: number;
  acquireTime?: string;
  renewTime?: string;
  leaseTransitions?: number;
}
type Lease = KubeObject & { spec?: LeaseSpec };

export const leases = defineResource<Lease>({
  apiVersion: 'coordination.k8s.io/v1',
  kind: 'Lease',
  plural: 'leases',
  namespaced: true,
});

/** client-go's times: a lease holds 15 s, its holder must have renewed within 10 s, and tries every 2 s. */
const defaultLeaseMs = 15_000;
const defaultDeadlineMs = 10_000;
const defaultRetryMs = 2_000;
/** A write that began while its sender led, and is given up after this, ends before anybody else may lead. */
export const longestWriteMs: number = defaultLeaseMs - defaultDeadlineMs - 500;

export function createLeaderElection(options: LeaderElectionOptions): LeaderElection {
  return new LeaseElection(options);
}

/** The lease as last seen, and when it last changed, on our clock. */
interface Observed {
  lease: Lease;
  changedAt: number;
}

/** The same moment on both clocks. */
interface Moment {
  now: number;
  wall: number;
}

class LeaseElection implements LeaderElection {
  readonly identity: string;
  readonly #options: LeaderElectionOptions;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #leaseMs: number;
  readonly #deadlineMs: number;
  readonly #retryMs: number;
  readonly #stopping = new AbortController();
  #observed: Observed | undefined;
  /** While leading: when the last successful renewal was sent, and what ends with the leadership. */
  #leading: { renewed: Moment; ended: AbortController } | undefined;
  #running: Promise<void> | undefined;

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.identity = options.identity ?? `${hostname()}_${randomUUID()}`;
    this.#clock = options.clock ?? systemClock;
    this.#random = options.random ?? Math.random;
    this.#leaseMs = options.leaseDurationMs ?? defaultLeaseMs;
    this.#deadlineMs = options.renewDeadlineMs ?? defaultDeadlineMs;
    this.#retryMs = options.retryPeriodMs ?? defaultRetryMs;
    if (this.#leaseMs <= this.#deadlineMs || this.#deadlineMs <= this.#retryMs) {
      throw new RangeError(
        `leaseDurationMs ${this.#leaseMs} must be more than renewDeadlineMs ${this.#deadlineMs}, and that more than retryPeriodMs ${this.#retryMs}`,
      );
    }
  }

  start(): void {
    this.#running ??= this.#run();
  }

  isLeader(): boolean {
    const since = this.sinceRenewalMs();
    return since !== undefined && since < this.#deadlineMs;
  }

  get holder(): string | undefined {
    return this.#observed?.lease.spec?.holderIdentity || undefined;
  }

  sinceRenewalMs(): number | undefined {
    if (!this.#leading) return undefined;
    const { now, wall } = this.#leading.renewed;
    // Linux' monotonic clock stands still while a machine sleeps, the wall clock may be set back: the longer counts.
    return Math.max(this.#clock.now() - now, this.#clock.wallTime() - wall);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
    if (!this.#leading) return;
    // Released only while it is surely ours: later it would take the lease from whoever has it by then.
    const mine = this.isLeader();
    this.#end('released');
    if (mine) await this.#release().catch(error => this.#options.onError?.(error as Error));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      if (this.#leading && !this.isLeader()) this.#end('lost');
      try {
        await this.#tryOnce();
      } catch (error) {
        await this.#failed(error as Error);
      }
      await sleep(this.#clock, this.#pauseMs(), signal);
    }
  }

  async #tryOnce(): Promise<void> {
    // Without the read: our own last answer is the newest version unless somebody took the lease from us.
    if (!this.#leading) await this.#look();
    const sent: Moment = { now: this.#clock.now(), wall: this.#clock.wallTime() };
    if (!this.#leading && (this.#stopping.signal.aborted || !this.#isFree(sent.now))) return;
    const lease = await this.#write(this.#claim());
    this.#see(lease);
    this.#renewed(sent);
  }

  /** Reads the lease and notes whether it has changed. */
  async #look(): Promise<void> {
    const { client, namespace, name } = this.#options;
    const lease = await client.find(leases, { namespace, name }, this.#limits());
    if (lease) this.#see(lease);
    else this.#observed = undefined;
  }

  #see(lease: Lease): void {
    if (this.#observed?.lease.metadata.resourceVersion === lease.metadata.resourceVersion) return;
    this.#observed = { lease, changedAt: this.#clock.now() };
  }

  #isFree(now: number): boolean {
    const spec = this.#observed?.lease.spec;
    if (!this.#observed || !spec?.holderIdentity || spec.holderIdentity === this.identity) return true;
    return now - this.#observed.changedAt >= this.#holdsMs(spec);
  }

  /** What the holder believes, or what we would: the longer, so that different settings never overlap. */
  #holdsMs(spec: LeaseSpec): number {
    return Math.max(this.#leaseMs, (spec.leaseDurationSeconds ?? 0) * 1000);
  }

  #claim(): Lease {
    const { namespace, name } = this.#options;
    const before = this.#observed?.lease;
    const mine = before?.spec?.holderIdentity === this.identity;
    const now = microTime(this.#clock.wallTime());
    return {
      metadata: before?.metadata ?? { namespace, name },
      spec: {
        holderIdentity: this.identity,
        leaseDurationSeconds: Math.ceil(this.#leaseMs / 1000),
        acquireTime: mine ? (before.spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (before?.spec?.leaseTransitions ?? 0) + (mine || !before ? 0 : 1),
      },
    };
  }

  /** With the resourceVersion seen: of two who claim at once the server refuses one. */
  #write(lease: Lease): Promise<Lease> {
    const { client } = this.#options;
    return lease.metadata.resourceVersion
      ? client.replace(leases, lease, this.#limits())
      : client.create(leases, lease, this.#limits());
  }

  #limits() {
    // Not the stop signal: a renewal cut off under way would leave us not knowing the version to release.
    return { timeoutMs: this.#retryMs };
  }

  #renewed(sent: Moment): void {
    if (this.#leading) {
      this.#leading.renewed = sent;
      return;
    }
    const ended = new AbortController();
    this.#leading = { renewed: sent, ended };
    if (this.isLeader()) this.#options.onStarted(ended.signal);
    else this.#leading = undefined;
  }

  async #failed(error: Error): Promise<void> {
    this.#options.onError?.(error);
    if (!this.#leading || !(isConflict(error) || isAlreadyExists(error) || isNotFound(error))) return;
    // Another holder, or only a label, or our own renewal whose answer was lost: the lease itself says. One that is
    // not there any more is nobody's: whoever comes first makes it anew.
    await this.#look().catch(() => {});
    if (this.holder !== this.identity) this.#end('lost');
  }

  #end(why: 'lost' | 'released'): void {
    this.#leading?.ended.abort();
    this.#leading = undefined;
    this.#options.onStopped(why);
  }

  async #release(): Promise<void> {
    try {
      await this.#writeReleased();
    } catch (error) {
      this.#options.onError?.(error as Error);
      if (!isConflict(error)) return;
      // Our own last renewal, whose answer was lost, or another holder.
      await this.#look();
      if (this.holder === this.identity) await this.#writeReleased();
    }
  }

  async #writeReleased(): Promise<void> {
    const lease = this.#observed?.lease;
    if (!lease) return;
    const now = microTime(this.#clock.wallTime());
    const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: now };
    await this.#write({ ...lease, spec });
  }

  /**
   * A holder renews each period. A candidate looks after half to three quarters of one, and exactly when the
   * lease runs out: a released lease is taken within 1.5 s, one of a dead holder at most 16.5 s after its renewal.
   */
  #pauseMs(): number {
    if (this.#leading) return this.#retryMs * (0.9 + this.#random() * 0.1);
    const pause = this.#retryMs * (0.5 + this.#random() * 0.25);
    const spec = this.#observed?.lease.spec;
    if (!this.#observed || !spec?.holderIdentity) return pause;
    // Lost because the API server was away, and taken by nobody: ours again as soon as it is back.
    if (spec.holderIdentity === this.identity) return pause / 2;
    const left = this.#observed.changedAt + this.#holdsMs(spec) - this.#clock.now();
    return left > 0 ? Math.min(pause, left) : pause;
  }
}
