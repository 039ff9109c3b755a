/**
 * The command line's side of the admin API of a running relay. Every failure
 * becomes a CommandError in words: nobody listens, refused, gone half-way.
 */
import { framesType } from '../frames.ts';
import type { MessageJson } from '../message-json.ts';
import type { QueueOperation, ReloadResult, VerifyResult } from '../view.ts';
import { CommandError, failure, usage } from './terminal.ts';

export interface Page {
  readonly messages: readonly MessageJson[];
  readonly next?: string;
}

/** Ids and paging of a list are query parameters; see filter.ts for all of them. */
export type Selection = Readonly<Record<string, string | number | boolean | readonly string[]>>;

export class AdminClient {
  readonly #base: string;

  /** `base`: `http://127.0.0.1:8026`, without a slash at the end. */
  constructor(base: string) {
    this.#base = base;
  }

  list(selection: Selection): Promise<Page> {
    return this.#json<Page>('GET', `/v1/queue${query(selection)}`);
  }

  /** Every chosen message, a page of `pageSize` at a time. */
  async *pages(selection: Selection, pageSize = 1000): AsyncGenerator<readonly MessageJson[]> {
    let after: string | undefined;
    do {
      const page = await this.list({ ...selection, limit: pageSize, ...(after !== undefined && { after }) });
      yield page.messages;
      after = page.next;
    } while (after !== undefined);
  }

  show(id: string): Promise<MessageJson> {
    return this.#json<MessageJson>('GET', `/v1/queue/${encodeURIComponent(id)}`);
  }

  async *body(id: string): AsyncGenerator<Buffer> {
    const response = await this.#fetch(`/v1/queue/${encodeURIComponent(id)}/body`, { method: 'GET' });
    yield* chunks(response);
  }

  /** The stream that frames.ts describes. */
  async *export(selection: Selection): AsyncGenerator<Buffer> {
    yield* chunks(await this.#fetch(`/v1/queue/export${query(selection)}`, { method: 'GET' }));
  }

  async import(frames: AsyncIterable<Buffer>): Promise<readonly string[]> {
    const response = await this.#fetch('/v1/queue/import', {
      method: 'POST',
      headers: { 'Content-Type': framesType },
      body: frames,
      duplex: 'half',
    });
    return ((await response.json()) as { ids: readonly string[] }).ids;
  }

  /** Resolves with how many messages it concerned. */
  async change(operation: Exclude<QueueOperation, 'import'>, selection: Selection): Promise<number> {
    return (await this.#json<{ count: number }>('POST', `/v1/queue/${operation}`, selection)).count;
  }

  /** A refused configuration is a result, not a failure. */
  async reload(): Promise<ReloadResult> {
    const init = { method: 'POST', headers: { 'Content-Type': 'application/json' } };
    return (await (await this.#fetch('/v1/reload', init, 422)).json()) as ReloadResult;
  }

  async verify(): Promise<readonly VerifyResult[]> {
    return (await this.#json<{ providers: readonly VerifyResult[] }>('POST', '/v1/verify', {})).providers;
  }

  async #json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#fetch(path, {
      method,
      ...(body !== undefined && {
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      }),
    });
    return (await response.json()) as T;
  }

  async #fetch(path: string, init: RequestInit, alsoFine = 200): Promise<Response> {
    const response = await fetch(`${this.#base}${path}`, { ...init, redirect: 'error' }).catch(
      (error: unknown) => {
        throw unreachable(this.#base, error);
      },
    );
    if (!response.ok && response.status !== alsoFine) throw await refused(response);
    return response;
  }
}

function query(selection: Selection): string {
  const parameters = new URLSearchParams();
  for (const [field, value] of Object.entries(selection)) {
    if (field !== 'all') parameters.set(field, Array.isArray(value) ? value.join(',') : String(value));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}

async function* chunks(response: Response): AsyncGenerator<Buffer> {
  if (response.body === null) return;
  try {
    for await (const chunk of response.body) yield Buffer.from(chunk);
  } catch (error) {
    throw new CommandError(failure, 'the relay ended the answer half-way: what came is not complete', error);
  }
}

function unreachable(base: string, error: unknown): CommandError {
  const cause = error instanceof Error ? (error.cause ?? error) : error;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  if (code === 'ECONNREFUSED') {
    return new CommandError(
      failure,
      `no relay listens on the admin port ${base.replace('http://', '')}: start it, or name its port with --config or --admin-port`,
      error,
    );
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CommandError(failure, `the relay at ${base} cannot be asked: ${reason}`, error);
}

async function refused(response: Response): Promise<CommandError> {
  const text = await response.text().catch(() => '');
  let said = text.trim();
  try {
    said = String((JSON.parse(text) as { error?: unknown }).error ?? said);
  } catch {
    // Not our JSON: something else listens there, and its own words are shown.
  }
  // 400: the command asked for what cannot be.
  const code = response.status === 400 ? usage : failure;
  return new CommandError(code, `the relay refused (${response.status}): ${said.slice(0, 2000)}`);
}
