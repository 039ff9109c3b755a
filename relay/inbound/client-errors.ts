/**
 * Tells of clients that misbehave on the network (resets, failed TLS
 * handshakes), at most a few a minute: a port scan must not flood the log.
 * What was left out is counted in the next line.
 */
import type { Emit } from '../telemetry/events.ts';

const PER_MINUTE = 10;

export class ClientErrors {
  readonly #emit: Emit;
  readonly #now: () => number;
  #minute = 0;
  #told = 0;
  #suppressed = 0;

  constructor(emit: Emit, now: () => number) {
    this.#emit = emit;
    this.#now = now;
  }

  tell(client: string, error: Error): void {
    const minute = Math.floor(this.#now() / 60_000);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#told = 0;
    }
    if (this.#told >= PER_MINUTE) {
      this.#suppressed++;
      return;
    }
    this.#told++;
    const more = this.#suppressed > 0 ? ` (and ${this.#suppressed} more not shown)` : '';
    this.#suppressed = 0;
    const message = error.message.replace(/\p{Cc}+/gu, ' ').slice(0, 200);
    this.#emit({ event: 'client-error', message: `${client}: ${message}${more}` });
  }
}
