/**
 * Keeps asking relay pods how they are: every few seconds in calm times, twice
 * a second while a change is awaited, less often those that do not answer,
 * never more than a bounded number at once. One answer that does not come says
 * nothing yet. Tells which relay has news; decides nothing.
 */
import type { Clock } from '../kube/clock.ts';
import { roomLeft } from './disk-room.ts';
import { checkWhose, type RelayStatus } from './relay-status.ts';

/** A pod that can be asked. */
export interface PodAddress {
  readonly name: string;
  readonly uid: string;
  readonly ip: string;
}

/** The last answer of one pod. */
export interface PodReport {
  readonly pod: string;
  readonly status?: RelayStatus;
  /** When `status` was asked for, ms of the clock. */
  readonly askedAt?: number;
  /** When the first of the answers came that have said `draining` ever since: it may have begun while it was on its way. */
  readonly drainingSince?: number;
  /** Why there is no newer status, to be read after the pod's name; the last one may still be there. */
  readonly error?: string;
}

export interface PodReportsOptions {
  readonly ask: (ip: string) => Promise<RelayStatus>;
  readonly clock: Clock;
  /** A pod of that relay says something else than before. */
  readonly onNews: (relay: string) => void;
  readonly calmMs?: number;
  readonly hurryMs?: number;
  readonly atOnce?: number;
}

const CALM_MS = 10_000;
const HURRY_MS = 500;
/** A change comes in seconds. What has not come by then may never come: a refused configuration, a pod that hangs. */
const HURRY_FOR_MS = 120_000;
/** A pod that does not answer holds its place among those asked at once until it times out. */
const SLOWEST = 3;
/** Failures in a row that are not told, each followed by another question soon: a node was busy, a packet was lost. */
const FORGIVEN = 2;
const AGAIN_MS = 1000;
const AT_ONCE = 32;

interface Asked extends PodAddress {
  readonly relay: string;
  report: PodReport;
  digest: string;
  /** In a row. */
  failures: number;
  cancel: () => void;
}

export class PodReports {
  readonly #options: PodReportsOptions;
  readonly #pods = new Map<string, Asked>();
  readonly #byRelay = new Map<string, Map<string, Asked>>();
  /** What each relay is asked often for, and until when. */
  readonly #hurried = new Map<string, { readonly awaited: string; readonly until: number }>();
  readonly #waiting: Asked[] = [];
  #asking = 0;
  #stopped = false;

  constructor(options: PodReportsOptions) {
    this.#options = options;
  }

  /**
   * Says which pods a relay has now; new ones are asked at once, others forgotten. `awaited` names the change that is
   * waited for: all are asked often for a while, and again for a while when it or the pods are others.
   */
  follow(relay: string, pods: readonly PodAddress[], awaited?: string): void {
    const before = this.#byRelay.get(relay) ?? new Map<string, Asked>();
    const now = this.#askedOf(relay, this.#stopped ? [] : pods, before);
    for (const [uid, asked] of before) if (now.get(uid) !== asked) this.#end(asked);
    if (now.size === 0) this.#byRelay.delete(relay);
    else this.#byRelay.set(relay, now);
    this.#hurry(relay, now.size > 0 ? awaited : undefined, now);
  }

  forget(relay: string): void {
    this.follow(relay, []);
  }

  of(relay: string): PodReport[] {
    return [...(this.#byRelay.get(relay)?.values() ?? [])].map(({ report }) => report);
  }

  /** Pods are followed again. */
  start(): void {
    this.#stopped = false;
  }

  /** Forgets all, and follows none until it is started again: a reconcile that is under way may still name some. */
  stop(): void {
    this.#stopped = true;
    for (const relay of [...this.#byRelay.keys()]) this.forget(relay);
  }

  #askedOf(
    relay: string,
    pods: readonly PodAddress[],
    before: ReadonlyMap<string, Asked>,
  ): Map<string, Asked> {
    const now = new Map<string, Asked>();
    for (const pod of pods) {
      const known = before.get(pod.uid);
      const asked = known?.ip === pod.ip ? known : this.#begin(relay, pod);
      now.set(pod.uid, asked);
    }
    return now;
  }

  #hurry(relay: string, change: string | undefined, pods: ReadonlyMap<string, Asked>): void {
    if (change === undefined) {
      this.#hurried.delete(relay);
      return;
    }
    const awaited = [change, ...[...pods.keys()].sort()].join(' ');
    if (this.#hurried.get(relay)?.awaited === awaited) return;
    this.#hurried.set(relay, { awaited, until: this.#options.clock.now() + HURRY_FOR_MS });
    for (const asked of pods.values()) this.#askAfter(asked, 0);
  }

  #begin(relay: string, pod: PodAddress): Asked {
    const report = { pod: pod.name };
    const asked: Asked = { ...pod, relay, report, digest: '', failures: 0, cancel: () => undefined };
    this.#pods.set(pod.uid, asked);
    this.#askAfter(asked, 0);
    return asked;
  }

  #end(asked: Asked): void {
    asked.cancel();
    if (this.#pods.get(asked.uid) === asked) this.#pods.delete(asked.uid);
  }

  #askAfter(asked: Asked, delayMs: number): void {
    asked.cancel();
    asked.cancel = this.#options.clock.after(delayMs, () => {
      this.#waiting.push(asked);
      this.#next();
    });
  }

  #next(): void {
    while (this.#asking < (this.#options.atOnce ?? AT_ONCE)) {
      const asked = this.#waiting.shift();
      if (asked === undefined) return;
      if (this.#pods.get(asked.uid) !== asked) continue;
      this.#asking += 1;
      void this.#ask(asked).finally(() => {
        this.#asking -= 1;
        this.#next();
      });
    }
  }

  async #ask(asked: Asked): Promise<void> {
    const askedAt = this.#options.clock.now();
    try {
      const status = await this.#options.ask(asked.ip);
      checkWhose(status, asked.name);
      asked.failures = 0;
      asked.report = answered(asked.report, status, { askedAt, answeredAt: this.#options.clock.now() });
    } catch (error) {
      asked.failures += 1;
      if (!isForgiven(asked)) asked.report = { ...asked.report, error: messageOf(error) };
    }
    if (this.#pods.get(asked.uid) !== asked) return;
    this.#askAfter(asked, this.#pauseOf(asked));
    const digest = digestOf(asked.report);
    if (digest === asked.digest) return;
    asked.digest = digest;
    this.#options.onNews(asked.relay);
  }

  #pauseOf(asked: Asked): number {
    const { calmMs = CALM_MS, hurryMs = HURRY_MS, clock } = this.#options;
    if (clock.now() < (this.#hurried.get(asked.relay)?.until ?? 0)) return hurryMs;
    if (asked.failures > 0 && isForgiven(asked)) return Math.min(calmMs, AGAIN_MS);
    return calmMs * Math.min(asked.failures + 1, SLOWEST);
  }
}

/** What it said last still counts. Of a pod that never answered there is nothing to keep. */
function isForgiven({ failures, report }: Asked): boolean {
  return failures <= FORGIVEN && report.status !== undefined && report.error === undefined;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function answered(
  { pod, drainingSince = Infinity }: PodReport,
  status: RelayStatus,
  { askedAt, answeredAt }: { readonly askedAt: number; readonly answeredAt: number },
): PodReport {
  const draining = status.draining && { drainingSince: Math.min(drainingSince, answeredAt) };
  return { pod, status, askedAt, ...draining };
}

/** What makes news: ages and free bytes change all the time and say nothing. */
function digestOf({ status, error }: PodReport): string {
  if (status === undefined) return JSON.stringify([error ?? '']);
  const { fingerprint, ready, draining, providers, queue, quarantine, disk } = status;
  const { spoolFailure, lastConfigError } = status;
  const counts = [...Object.values(queue).map(({ messages }) => messages), quarantine?.files];
  return JSON.stringify([
    error,
    fingerprint,
    ready,
    draining,
    providers.map(({ name, state, since, reason, message }) => [name, state, since, reason, message]),
    counts,
    roomLeft(disk),
    spoolFailure,
    lastConfigError,
  ]);
}
