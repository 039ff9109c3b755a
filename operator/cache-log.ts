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
  /** Scopes that have failed and have not been heard of since. */
  readonly #failing = new Set<string>();
  /** Causes that were told since the first of them failed. */
  readonly #told = new Set<string>();
  #failingSince = 0;
  readonly #outOfView = new Set<string>();

  constructor(options: CacheLogOptions) {
    this.#options = options;
  }

  fault(kind: string, { namespace, during, error, retryInMs }: InformerFault): void {
    const { log, server, clock } = this.#options;
    if (during === 'handler') {
      log.error({ kind, error: error.stack ?? error.message }, 'what a change means could not be worked out');
      return;
    }
    if (this.#failing.size === 0) this.#failingSince = clock.now();
    this.#failing.add(scopeName(kind, namespace));
    const cause = causeOf(error);
    const fields = { server, cause, kind, namespace, during, error: error.message, retryInMs };
    if (this.#told.has(cause)) log.debug(fields, 'the API server still does not answer');
    else log.warn(fields, 'the API server does not answer; trying again');
    this.#told.add(cause);
  }

  /** It was answered. */
  answered(kind: string, namespace: string | undefined): void {
    if (!this.#failing.delete(scopeName(kind, namespace)) || this.#failing.size > 0) return;
    const { log, server, clock } = this.#options;
    this.#told.clear();
    const afterMs = Math.round(clock.now() - this.#failingSince);
    log.info({ server, afterMs }, 'the API server answers again');
  }

  /** `expected`: a kind that a cluster need not have. */
  scope(kind: string, { namespace, state, error }: ScopeChange, expected: boolean): void {
    const { log } = this.#options;
    const name = scopeName(kind, namespace);
    if (isRefusal(state)) this.answered(kind, namespace);
    if (isRefusal(state) && !expected) {
      this.#outOfView.add(name);
      log.warn({ kind, namespace, why: state, error: error?.message }, messages[state]);
    } else if (this.#outOfView.delete(name)) {
      log.info({ kind, namespace }, 'in view again');
    }
  }
}

const messages = {
  forbidden: 'out of view: it may not be read, and MailRelays that need it are left alone until it may',
  'not-served': 'out of view: the API server does not know this kind; is its CRD installed? Waiting for it',
};

function scopeName(kind: string, namespace = ''): string {
  return `${namespace}/${kind}`;
}

function causeOf(error: Error): string {
  if (error instanceof ApiError) return String(error.code);
  return error instanceof ConnectionError ? error.kind : error.name;
}
