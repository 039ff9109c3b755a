/** Waiting for a Kubernetes endpoint to answer; never gives up before its time and never sleeps longer than needed. */
import { readFile } from 'node:fs/promises';
import { request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import type { KeyPair } from './kubeconfig.ts';

/** An https address with PEM files of the authority to trust and of the client certificate to show. */
export type Endpoint = KeyPair & { readonly url: string; readonly authority: string };

type Identity = { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };

/**
 * Resolves when a GET of the address answers 200.
 *
 * @param within milliseconds to wait at most
 * @param signal ends the waiting early
 * @throws {Error} when the time is over or the signal fired, with the last answer
 */
export async function readyUrl(
  endpoint: Endpoint,
  { within = 60_000, signal }: { within?: number; signal?: AbortSignal } = {},
): Promise<void> {
  const [ca, cert, key] = await Promise.all([
    readFile(endpoint.authority),
    readFile(endpoint.certificate),
    readFile(endpoint.key),
  ]);
  const deadline = Date.now() + within;
  let answer = '';
  while (Date.now() < deadline && !signal?.aborted) {
    answer = await ask(endpoint.url, { ca, cert, key, timeout: Math.min(2_000, deadline - Date.now()) });
    if (answer === '200') return;
    await delay(50);
  }
  throw new Error(`${endpoint.url} was not ready within ${within} ms; the last answer was: ${answer}`);
}

function ask(url: string, options: Identity & { readonly timeout: number }): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const call = request(url, { ...options, agent: false }, response => {
    response.resume();
    resolve(String(response.statusCode));
  });
  call.on('timeout', () => call.destroy(new Error('no answer in time')));
  call.on('error', error => resolve(error.message));
  call.end();
  return promise;
}
