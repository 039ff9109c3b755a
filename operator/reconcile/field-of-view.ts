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

/** What cannot be seen. */
export interface OutOfView {
  readonly kind: string;
  /** Undefined: all namespaces. */
  readonly namespace: string | undefined;
  /** `failing`: it could not be read since the start, while other namespaces could. */
  readonly why: Refusal | 'failing';
}

export class FieldOfView {
  readonly #kinds: readonly WatchedKind[];
  readonly #listeners = new Set<(namespace: string | undefined) => void>();
  readonly #begun = Promise.withResolvers<void>();
  readonly #open = Promise.withResolvers<void>();
  readonly #whole = Promise.withResolvers<void>();
  #waitsForFailing = true;

  constructor(kinds: readonly WatchedKind[]) {
    this.#kinds = kinds;
  }

  /** Resolves when a namespace is in view, be it that others still are not. */
  get begun(): Promise<void> {
    return this.#begun.promise;
  }

  /**
   * Resolves when work can begin: every namespace that may be read has been, those that are slow included, and there is
   * one. Nobody waits for what is refused, nor for a kind that a cluster need not have, nor for ever for what fails.
   */
  get opened(): Promise<void> {
    return this.#open.promise;
  }

  /** Resolves when work can begin, and what a cluster need not have has been read or refused as well. */
  get whole(): Promise<void> {
    return this.#whole.promise;
  }

  /** Why work cannot begin, for people; undefined when it can. */
  get closed(): string | undefined {
    if (this.#isOpen()) return undefined;
    const awaited = this.#each().filter(({ optional, state }) => !optional && isUnread(state));
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
  shows(kind: string, namespace: string | undefined): boolean {
    const scopes = this.#kinds.find(one => one.kind === kind)?.scopes ?? [];
    return scopeOf(scopes, namespace)?.state === 'in-view';
  }

  /** What keeps a namespace from being worked on. Kinds that a cluster need not have keep none. */
  outOfView(): OutOfView[] {
    return this.#each().flatMap(({ kind, optional, namespace, state }) =>
      !optional && (isRefusal(state) || (state === 'failing' && !this.#waitsForFailing))
        ? [{ kind, namespace, why: state }]
        : [],
    );
  }

  /** From now on work begins without what could not be read so far and fails. It is taken in when it can be. */
  leaveOutFailing(): void {
    this.#waitsForFailing = false;
    this.#look();
  }

  /** Calls with a namespace, undefined for all, in which more or less can be seen from now on. Returns what ends it. */
  subscribe(listener: (namespace: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be told by the informers. */
  changed(namespace: string | undefined): void {
    this.#look();
    for (const listener of this.#listeners) listener(namespace);
  }

  #look(): void {
    if (this.#isBegun()) this.#begun.resolve();
    if (!this.#isOpen()) return;
    this.#open.resolve();
    if (!this.#each().some(({ optional, state }) => optional && isUnread(state))) this.#whole.resolve();
  }

  #each(): (Omit<WatchedKind, 'scopes'> & WatchedScope)[] {
    return this.#kinds.flatMap(({ kind, optional, scopes }) =>
      scopes.map(({ namespace, state }) => ({ kind, optional, namespace, state })),
    );
  }

  #isBegun(): boolean {
    // All kinds are watched in the same namespaces.
    const namespaces = this.#kinds[0]?.scopes ?? [];
    return namespaces.some(({ namespace }) => this.includes(namespace));
  }

  #isOpen(): boolean {
    const isAwaited = (state: ScopeState): boolean =>
      state === 'unread' || (state === 'failing' && this.#waitsForFailing);
    return this.#isBegun() && !this.#each().some(({ optional, state }) => !optional && isAwaited(state));
  }
}

function isUnread(state: ScopeState): boolean {
  return state === 'unread' || state === 'failing';
}

/** How many are named: it is a line for people, and there may be a thousand. */
const mostNamed = 5;

/** `Pod in apps (forbidden), Secret in apps (forbidden) and 9 more`. */
function inWords(scopes: readonly (Omit<OutOfView, 'why'> & Partial<OutOfView>)[]): string {
  const named = scopes.slice(0, mostNamed).map(({ kind, namespace, why }) => {
    const where = namespace === undefined ? '' : ` in ${namespace}`;
    return `${kind}${where}${why === undefined ? '' : ` (${why})`}`;
  });
  const more = scopes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
