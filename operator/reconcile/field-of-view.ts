/**
 * What of the cluster the operator sees, by namespace: it works on a MailRelay only where it may read every kind that
 * the work rests on, since a list that was refused is not an empty one. A kind that a cluster need not have holds
 * nothing up. Knows what the informers say; asks nobody.
 */
import { isRefusal, type Refusal, type ScopeState, scopeOf, type WatchedScope } from '../kube/scopes.ts';

/** A kind that is watched. */
export interface WatchedKind {
  readonly kind: string;
  /** A cluster need not serve it, and what it is for can be left out. */
  readonly optional: boolean;
  readonly scopes: readonly WatchedScope[];
}

/** What the server refuses to show. */
export interface OutOfView {
  readonly kind: string;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  readonly why: Refusal;
}

export class FieldOfView {
  readonly #kinds: readonly WatchedKind[];
  readonly #listeners = new Set<(namespace: string | undefined) => void>();
  readonly #open = Promise.withResolvers<void>();
  readonly #whole = Promise.withResolvers<void>();

  constructor(kinds: readonly WatchedKind[]) {
    this.#kinds = kinds;
  }

  /**
   * Resolves when work can begin: every namespace that may be read has been, those that are slow included, and there is
   * one. Nobody waits for what is refused, nor for a kind that a cluster need not have.
   */
  get opened(): Promise<void> {
    return this.#open.promise;
  }

  /** Resolves when everything has been read or refused, also what a cluster need not have. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  /** Why work cannot begin, for people; undefined when it can. */
  get closed(): string | undefined {
    if (this.#isOpen()) return undefined;
    const awaited = this.#each().filter(({ optional, state }) => !optional && state === 'unread');
    if (awaited.length > 0) return `the caches are not synced yet: ${inWords(awaited)}`;
    return `there is no namespace that may be read: ${inWords(this.outOfView())}`;
  }

  /** Whether all that the work in a namespace rests on has been read there, and may still be. */
  includes(namespace: string | undefined): boolean {
    return this.#kinds.every(
      ({ optional, scopes }) => optional || scopeOf(scopes, namespace)?.state === 'in-view',
    );
  }

  /** Whether that kind has been read in a namespace, and may still be. */
  shows(kind: string, namespace: string): boolean {
    const scopes = this.#kinds.find(one => one.kind === kind)?.scopes ?? [];
    return scopeOf(scopes, namespace)?.state === 'in-view';
  }

  /** What is refused, without the kinds that a cluster need not have and does not. */
  outOfView(): OutOfView[] {
    return this.#each().flatMap(({ kind, optional, namespace, state }) =>
      isRefusal(state) && !isLeftOut(optional, state) ? [{ kind, namespace, why: state }] : [],
    );
  }

  /** Calls with a namespace, undefined for all, in which more or less can be seen from now on. Returns what ends it. */
  subscribe(listener: (namespace: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be told by the informers. */
  changed(namespace: string | undefined): void {
    if (this.#isOpen()) this.#open.resolve();
    if (!this.#isAwaiting(this.#kinds)) this.#whole.resolve();
    for (const listener of this.#listeners) listener(namespace);
  }

  #each(): (Omit<WatchedKind, 'scopes'> & WatchedScope)[] {
    return this.#kinds.flatMap(({ kind, optional, scopes }) =>
      scopes.map(({ namespace, state }) => ({ kind, optional, namespace, state })),
    );
  }

  #isOpen(): boolean {
    // All kinds are watched in the same namespaces.
    const namespaces = this.#kinds[0]?.scopes ?? [];
    const isAwaiting = this.#isAwaiting(this.#kinds.filter(({ optional }) => !optional));
    return !isAwaiting && namespaces.some(({ namespace }) => this.includes(namespace));
  }

  #isAwaiting(kinds: readonly WatchedKind[]): boolean {
    return kinds.some(({ scopes }) => scopes.some(({ state }) => state === 'unread'));
  }
}

/** Nobody misses a kind that a cluster need not have. */
export function isLeftOut(optional: boolean, state: ScopeState): boolean {
  return optional && state === 'not-served';
}

/** How many are named: it is a line for people, and there may be a thousand. */
const mostNamed = 5;

/** `Pod in apps (forbidden), Secret in apps (forbidden) and 9 more`. */
function inWords(scopes: readonly { kind: string; namespace: string | undefined; why?: Refusal }[]): string {
  const named = scopes.slice(0, mostNamed).map(({ kind, namespace, why }) => {
    const where = namespace === undefined ? '' : ` in ${namespace}`;
    return `${kind}${where}${why === undefined ? '' : ` (${why})`}`;
  });
  const more = scopes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
