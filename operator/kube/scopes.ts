/**
 * What is known of each scope that an informer watches, a namespace or all of them: how much of it can be seen, and
 * since when nothing has been heard. What the server refuses is out of view, not empty: it says nothing of what is there.
 */
import type { Clock } from './clock.ts';

/** Why a scope is out of view: rights are missing, or the server does not know the kind (yet, or any more). */
export type Refusal = 'forbidden' | 'not-served';

/**
 * `unread`: it is being read for the first time. `failing`: that has failed, and is tried again. `in-view`: all of it
 * has been read and is kept up to date, or was until the connection broke. A refusal: what was read before it may have
 * changed since.
 */
export type ScopeState = 'unread' | 'failing' | 'in-view' | Refusal;

export interface WatchedScope {
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly state: ScopeState;
}

export interface ScopeChange extends WatchedScope {
  /** What the server said, or why it could not; of `failing` and of a refusal. */
  readonly error?: Error;
}

/** One of them. Its informer tells it what happens. */
export class Scope implements WatchedScope {
  readonly namespace: string | undefined;
  readonly #clock: Clock;
  readonly #onChange: (change: ScopeChange) => void;
  #state: ScopeState = 'unread';
  #contactAt: number;
  /** Since when there has been neither a watch nor a whole LIST; undefined while a watch is open. */
  #downSince: number | undefined;

  constructor(namespace: string | undefined, clock: Clock, onChange: (change: ScopeChange) => void) {
    this.namespace = namespace;
    this.#clock = clock;
    this.#onChange = onChange;
    this.#contactAt = clock.now();
    this.#downSince = this.#contactAt;
  }

  get state(): ScopeState {
    return this.#state;
  }

  /** For how long there has been no sign of life. */
  get sinceContactMs(): number {
    return this.#clock.now() - this.#contactAt;
  }

  /**
   * For how long no watch has been open and no LIST was whole, 0 while a watch is; undefined where there is nothing to
   * watch yet: out of view, or where all that there has been since the start is failure.
   */
  get disconnectedMs(): number | undefined {
    if (isRefusal(this.#state) || this.#state === 'failing') return undefined;
    return this.#downSince === undefined ? 0 : this.#clock.now() - this.#downSince;
  }

  contact(): void {
    this.#contactAt = this.#clock.now();
  }

  watching(open: boolean): void {
    this.#downSince = open ? undefined : (this.#downSince ?? this.#clock.now());
  }

  /** The next time may be better. */
  failed(error: Error): void {
    if (this.#state === 'unread') this.#become({ state: 'failing', error });
  }

  refused(why: Refusal, error: Error): void {
    this.contact();
    this.#become({ state: why, error });
  }

  listed(): void {
    // What is listed again and again is kept up to date without a watch.
    this.#downSince = this.#clock.now();
    this.#become({ state: 'in-view' });
  }

  #become(change: Omit<ScopeChange, 'namespace'>): void {
    if (change.state === this.#state) return;
    this.#state = change.state;
    this.#onChange({ namespace: this.namespace, ...change });
  }
}

export function isRefusal(state: ScopeState): state is Refusal {
  return state === 'forbidden' || state === 'not-served';
}

/** The scope that the objects of a namespace are in, or that of all namespaces. */
export function scopeOf<T extends WatchedScope>(
  scopes: readonly T[],
  namespace: string | undefined,
): T | undefined {
  return scopes.find(scope => scope.namespace === undefined || scope.namespace === namespace);
}
