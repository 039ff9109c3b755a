/**
 * The life of the store's thread: take the directory, put it in order, serve
 * until told to close. A refusal to start is reported, not thrown.
 */
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { Ballast } from './ballast.ts';
import type { StepHook } from './body-files.ts';
import { Ownership } from './owner.ts';
import type { Report, Request, StoreOptions } from './protocol.ts';
import { type Recovered, recover } from './recovery.ts';
import { forgetProbe, troubleIn } from './room-probe.ts';
import { Rows } from './rows.ts';
import { ballastBytes, checkDatabase, openDatabase } from './schema.ts';
import { Store } from './store.ts';
import { transferable } from './transit.ts';
import { describe, Refusal, refusalKind } from './trouble.ts';

/** After an unclean end, files up to this size are checked whole before use: a quarter of a second. */
const CHECK_UP_TO_BYTES = 256 * 1024 * 1024;

/** Serves the port until a request says close. `step` is for tests alone. */
export async function runStore(port: MessagePort, options: StoreOptions, step?: StepHook): Promise<void> {
  const report = (message: Report) => port.postMessage(message, transferable(message));
  let opened: Opened;
  try {
    opened = await open(options);
  } catch (error) {
    const kind = error instanceof Refusal ? error.kind : refusalKind(error);
    report({ type: 'refused', kind, message: describe(error) });
    port.close();
    return;
  }
  serve(port, opened, { options, report, step });
}

interface Opened {
  readonly rows: Rows;
  readonly recovered: Recovered;
  readonly ownership: Ownership;
}

async function open(options: StoreOptions): Promise<Opened> {
  const { directory } = options;
  mkdirSync(directory, { recursive: true });
  forgetProbe(directory);
  const file = join(directory, 'queue.db');
  const ownership = new Ownership({ directory, now: () => options.now });
  const database = await withRoom(options, () => {
    try {
      return openDatabase(file);
    } catch (error) {
      throw error instanceof Refusal && error.kind === 'owned' ? ownership.refusal() : error;
    }
  });
  try {
    const unclean = await withRoom(options, again => ownership.take({ unwritten: again }));
    if (unclean && statSync(file).size <= CHECK_UP_TO_BYTES) checkDatabase(database, file);
    const rows = new Rows(database);
    const recovered = await withRoom(options, again => recover(directory, rows, { crowded: again }));
    return { rows, recovered, ownership };
  } catch (error) {
    database.close();
    throw error;
  }
}

/** A full disk must not keep the store from starting: it is how it gets empty again. */
async function withRoom<T>(options: StoreOptions, work: (again: boolean) => T | Promise<T>): Promise<T> {
  try {
    return await work(false);
  } catch (error) {
    const ballast = ballastBytes(options.volumeBytes);
    if (troubleIn(options.directory, ballast, error) !== 'full') throw error;
    new Ballast(options.directory, ballast).release();
    return await work(true);
  }
}

interface Service {
  readonly options: StoreOptions;
  readonly report: (report: Report) => void;
  readonly step: StepHook | undefined;
}

function serve(port: MessagePort, opened: Opened, service: Service): void {
  const { rows, recovered, ownership } = opened;
  const { counts, nextN, lastId, lastTriedAt, events } = recovered;
  const store = new Store({ database: rows.database, counts, leave: () => ownership.release(), ...service });
  port.on('message', (first: Request) => {
    let close = first.close;
    store.receive(first);
    for (let more = receiveMessageOnPort(port); more !== undefined; more = receiveMessageOnPort(port)) {
      const request = more.message as Request;
      store.receive(request);
      close ||= request.close;
    }
    if (close) void end();
    else store.turn();
  });
  const end = async () => {
    await store.close();
    port.close();
  };
  service.report({ type: 'ready', nextN, lastId, lastTriedAt, counters: store.counters(), events });
  setImmediate(() => store.prepareForFullDisk());
}
