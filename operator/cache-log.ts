/**
 * What the log says of the watches, each thing once however many of them try again: that the API server is in trouble,
 * with its address and for each cause, and that it is over; what is out of view, and that it is back.
 */
import type { Logger } from 'pino';
import { ApiError, ConnectionError } from './kube/api-error.ts';
import type { Clock } from './kube/clock.ts';
import type { InformerFault } from './kube/informer.ts';
import { isRefusal, type ScopeChange } from './kube/scopes.ts';

export interface CacheLogOptions {
  readonly log: Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;
  /** Address of the API server. */
  readonly server: string;
  readonly clock: Pick<Clock, 'now'>;
}

export class CacheLog {
  readonly #options: CacheLogOptions;
  /** Scopes that have failed and have not been heard of since, each with its last failure. */
  readonly #failing = new Map<string, Error>();
  /** Causes that were told since the first of them failed. */
  readonly #told = new Set<string>();
  #failingSince = 0;
  readonly #outOfView = new Set<string>();
  /** Those of them that fail beside others that do not: they say nothing of the API server. */
  readonly #leftOut = new Set<string>();

  constructor(options: CacheLogOptions) {
    this.#options = options;
  }

  fault(kind: string, { namespace, during, error, retryInMs }: InformerFault): void {
    const { log, server, clock } = this.#options;
    if (during === 'handler') {
      log.error({ kind, error: error.stack ?? error.message }, 'what a change means could not be worked out');
      return;
    }
    const name = scopeName(kind, namespace);
    const cause = causeOf(error);
    const fields = { server, cause, kind, namespace, during, error: error.message, retryInMs };
    if (this.#leftOut.has(name)) {
      log.debug(fields, 'it still cannot be read');
      return;
    }
    if (this.#failing.size === 0) this.#failingSince = clock.now();
    this.#failing.set(name, error);
    if (this.#told.has(cause)) log.debug(fields, 'the API server is still in trouble');
    else log.warn(fields, 'the API server is in trouble; trying again');
    this.#told.add(cause);
  }

  /** It was answered. */
  answered(kind: string, namespace: string | undefined): void {
    if (!this.#forget(scopeName(kind, namespace))) return;
    const { log, server, clock } = this.#options;
    const afterMs = Math.round(clock.now() - this.#failingSince);
    log.info({ server, afterMs }, 'the API server is well again');
  }

  /** `optional`: a kind that a cluster need not have. That it fails is told as a fault. */
  scope(kind: string, { namespace, state, error }: ScopeChange, optional: boolean): void {
    const name = scopeName(kind, namespace);
    const { log } = this.#options;
    if (isRefusal(state)) {
      this.answered(kind, namespace);
      this.#leftOut.delete(name);
      const message = (optional ? messagesOfOptional : messages)[state];
      if (message === undefined) {
        this.#outOfView.delete(name);
        return;
      }
      this.#outOfView.add(name);
      log.warn({ kind, namespace, why: state, error: error?.message }, message);
    } else if (state === 'in-view' && this.#outOfView.delete(name)) {
      this.#leftOut.delete(name);
      log.info({ kind, namespace }, 'in view again');
    }
  }

  /** Nobody waits any longer for what has failed since the start. */
  leftOut(kind: string, namespace: string | undefined, optional: boolean): void {
    const name = scopeName(kind, namespace);
    const error = this.#failing.get(name)?.message;
    const { failing } = optional ? messagesOfOptional : messages;
    this.#options.log.warn({ kind, namespace, why: 'failing', error }, failing);
    this.#forget(name);
    this.#outOfView.add(name);
    this.#leftOut.add(name);
  }

  /** Whether it was the last that failed. */
  #forget(name: string): boolean {
    if (!this.#failing.delete(name) || this.#failing.size > 0) return false;
    this.#told.clear();
    return true;
  }
}

const messages = {
  forbidden: 'out of view: it may not be read, and MailRelays that need it are left alone until it may',
  'not-served': 'out of view: the API server does not know this kind; is its CRD installed? Waiting for it',
  failing: 'out of view: reading it fails, and MailRelays that need it are left alone until it succeeds',
};

/** MailRelays are worked on without them, and nobody misses one that the cluster does not have. */
const messagesOfOptional = {
  forbidden: 'left out: it may not be read, and what MailRelays want of this kind is not made until it may',
  'not-served': undefined,
  failing: 'left out: reading it fails, and what MailRelays want of this kind is not made until it succeeds',
};

function scopeName(kind: string, namespace = ''): string {
  return `${namespace}/${kind}`;
}

function causeOf(error: Error): string {
  if (error instanceof ApiError) return String(error.code);
  return error instanceof ConnectionError ? error.kind : error.name;
}
