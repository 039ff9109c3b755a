/**
 * What is measured, one function per scenario. Each returns rows of the
 * table; targets stand beside the figures they belong to.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  arrived,
  type Figures,
  type Kind,
  measure,
  type ProviderChoice,
  type Shape,
  sampleMost,
  sent,
  type Timing,
  withSubject,
} from './arena.ts';
import type { LoadResult, SinkOrder } from './messages.ts';
import { fillSpool, type Load, type Sink, type Subject, startSink } from './processes.ts';

const KB = 1024;
const MB = 1024 * KB;
const USERS = { bench: 'a password' };
/** No first mail after this long: it never comes. */
const PATIENCE_MS = 60_000;

/** One line of the published table. */
export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** Of the same thing done by the baseline in the same run. */
  readonly baseline?: number;
  readonly target?: Target;
}

/** `ratio`: what `value` is to the baseline on the machine for which it was set; holds where that one is not met. */
export interface Target {
  readonly at: 'most' | 'least';
  readonly value: number;
  readonly ratio?: number;
}

export interface Bench {
  readonly load: Load;
  readonly timing: Timing;
  /** Measurements per shape; the median counts. */
  readonly rounds: number;
  readonly queued: number;
  /** Messages in the queue when the relay starts; 0 = not measured. */
  readonly longQueue: number;
  readonly say: (text: string) => void;
}

interface Loaded extends Shape {
  readonly name: string;
  readonly perSecond?: Target;
  readonly p50Ms?: Target;
  readonly cpuMs?: Target;
}

const least = (value: number, ratio?: number): Target => ({ at: 'least', value, ...(ratio && { ratio }) });
const most = (value: number, ratio?: number): Target => ({ at: 'most', value, ...(ratio && { ratio }) });

const KEPT: Loaded = {
  name: '4 KB, 50 kept connections',
  connections: 50,
  kept: true,
  bytes: 4 * KB,
  perSecond: least(3000, 3000 / 1385),
  cpuMs: most(0.4, 0.4 / 0.9),
};

const LOADS: readonly Loaded[] = [
  KEPT,
  {
    name: '4 KB, a connection per message, 50 at a time',
    connections: 50,
    kept: false,
    bytes: 4 * KB,
    perSecond: least(1800, 1800 / 430),
  },
  { name: '4 KB, one serial client', connections: 1, kept: true, bytes: 4 * KB, p50Ms: most(0.8, 0.8 / 1.5) },
  {
    name: '64 KB, 20 kept connections',
    connections: 20,
    kept: true,
    bytes: 64 * KB,
    perSecond: least(1200, 1200 / 715),
  },
  {
    name: '1 MB, 10 kept connections',
    connections: 10,
    kept: true,
    bytes: MB,
    perSecond: least(160, 160 / 83),
    cpuMs: most(8, 8 / 14),
  },
];

const mebibytes = (bytes: number): number => bytes / MB;

/** Everything, in the order of the table. */
export async function everyScenario(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  await healthyLoads(bench, rows);
  rows.push(...(await refusingPrimary(bench, await healthyNow(bench))));
  rows.push(...(await silentPrimary(bench, await healthyNow(bench))));
  rows.push(...(await securedUpstream(bench, await healthyNow(bench))));
  rows.push(...(await queuedMail(bench)));
  rows.push(...(await hugeMail(bench)));
  rows.push(...(await longQueue(bench)));
  return rows;
}

/** The rate to compare with, measured right before, since other work on the machine comes and goes. */
async function healthyNow(bench: Bench): Promise<number> {
  return (await onePlain(bench, 'relay', KEPT)).perSecond;
}

/** All shapes against relay and baseline in turn. */
async function healthyLoads(bench: Bench, rows: Row[]): Promise<void> {
  for (const shape of LOADS) {
    const results: Record<Kind, Figures[]> = { relay: [], baseline: [] };
    for (let round = 0; round < bench.rounds; round++) {
      for (const kind of ['relay', 'baseline'] as const) {
        results[kind].push(await onePlain(bench, kind, shape));
      }
    }
    rows.push(...loadRows(shape, median(results.relay), median(results.baseline)));
  }
}

async function onePlain(bench: Bench, kind: Kind, shape: Loaded): Promise<Figures> {
  const figures = await withSink({ tls: false }, sink =>
    withSubject(kind, [{ name: 'only', port: sink.port }], subject =>
      measure({ load: bench.load, sink, subject }, shape, bench.timing),
    ),
  );
  bench.say(`${shape.name}, ${kind}: ${figures.perSecond.toFixed(0)}/s`);
  return figures;
}

function loadRows(shape: Loaded, relay: Figures, baseline: Figures): Row[] {
  const row = (
    what: string,
    unit: string,
    pick: (figures: Figures) => number,
    target?: Row['target'],
  ): Row => ({
    what: `${shape.name}: ${what}`,
    unit,
    value: pick(relay),
    baseline: pick(baseline),
    ...(target && { target }),
  });
  const { perSecond, p50Ms, cpuMs } = shape;
  return [
    row('end to end', '/s', each => each.perSecond, perSecond),
    row('250 after, p50', 'ms', each => each.p50Ms, p50Ms),
    row('250 after, p99', 'ms', each => each.p99Ms),
    row('CPU per message', 'ms', each => each.cpuMsPerMessage, cpuMs),
    ...(shape === KEPT
      ? [
          row('ready', 'ms', each => each.readyMs, most(500)),
          row('memory idle', 'MiB', each => mebibytes(each.rssIdle), most(90)),
        ]
      : []),
    row('memory under load', 'MiB', each => mebibytes(each.rssLoad), most(200)),
    row('memory after', 'MiB', each => mebibytes(each.rssAfter)),
  ];
}

/** Nothing listens where the first provider should be. */
async function refusingPrimary(bench: Bench, healthy: number): Promise<Row[]> {
  const figures = await withSink({ tls: false, down: true }, dead =>
    withSink({ tls: false }, sink =>
      withSubject('relay', primaryAndSecond(dead, sink), subject =>
        measure({ load: bench.load, sink, subject }, KEPT, bench.timing),
      ),
    ),
  );
  bench.say(`refusing primary: ${figures.perSecond.toFixed(0)}/s`);
  return [
    {
      what: 'refusing primary: rate, part of healthy',
      unit: '',
      value: figures.perSecond / healthy,
      target: least(0.9),
    },
    { what: 'refusing primary: CPU per message', unit: 'ms', value: figures.cpuMsPerMessage },
  ];
}

/** The first provider accepts connections and never says a word. */
async function silentPrimary(bench: Bench, healthy: number): Promise<Row[]> {
  return withSink({ tls: false, silent: true }, silent =>
    withSink({ tls: false }, sink =>
      withSubject('relay', primaryAndSecond(silent, sink), async subject => {
        const firstMailMs = await untilFirstMail(bench, sink, subject);
        const figures = await measure({ load: bench.load, sink, subject }, KEPT, bench.timing);
        const { counters } = await silent.ask('counters');
        bench.say(`silent primary: first mail after ${firstMailMs} ms, ${figures.perSecond.toFixed(0)}/s`);
        return [
          {
            what: 'silent primary: first mail through the second after',
            unit: 'ms',
            value: firstMailMs,
            target: most(6000),
          },
          {
            what: 'silent primary: rate afterwards, part of healthy',
            unit: '',
            value: figures.perSecond / healthy,
            target: least(0.9),
          },
          {
            what: 'silent primary: connections to it',
            unit: '',
            value: counters.connections,
            target: most(5),
          },
        ];
      }),
    ),
  );
}

/** Load from the first moment on, until a message has come through and then all of them. */
async function untilFirstMail({ load }: Bench, sink: Sink, subject: Subject): Promise<number> {
  const { connections, kept, bytes } = KEPT;
  const order = { host: '127.0.0.1', port: subject.port, connections, kept, bytes };
  const startedAt = Date.now();
  const running = load.run({ ...order, seconds: 30 });
  const first = await arrived(sink, 1, PATIENCE_MS);
  const firstMailMs = first.lastAt - startedAt;
  load.stop();
  await arrived(sink, (await running).accepted, PATIENCE_MS);
  return firstMailMs;
}

async function securedUpstream(bench: Bench, healthy: number): Promise<Row[]> {
  const results = {} as Record<Kind, Figures>;
  for (const kind of ['relay', 'baseline'] as const) {
    results[kind] = await withSink({ tls: true, users: USERS }, sink => {
      const login = { user: 'bench', pass: USERS.bench, ca: sink.ca };
      return withSubject(kind, [{ name: 'only', port: sink.port, login }], subject =>
        measure({ load: bench.load, sink, subject }, KEPT, bench.timing),
      );
    });
    bench.say(`STARTTLS and AUTH, ${kind}: ${results[kind].perSecond.toFixed(0)}/s`);
  }
  const { relay, baseline } = results;
  return [
    {
      what: 'STARTTLS and AUTH upstream: end to end',
      unit: '/s',
      value: relay.perSecond,
      baseline: baseline.perSecond,
    },
    {
      what: 'STARTTLS and AUTH upstream: rate, part of plain',
      unit: '',
      value: relay.perSecond / healthy,
      target: least(0.8),
    },
    {
      what: 'STARTTLS and AUTH upstream: CPU per message',
      unit: 'ms',
      value: relay.cpuMsPerMessage,
      baseline: baseline.cpuMsPerMessage,
    },
  ];
}

/** Mail that waits in emails/failed, and what happens when the provider returns. */
async function queuedMail(bench: Bench): Promise<Row[]> {
  const shape = { connections: 50, kept: true, bytes: 4 * KB, messages: bench.queued };
  return withSink({ tls: false, down: true }, sink =>
    withSubject('relay', [{ name: 'only', port: sink.port }], async (subject, { health }) => {
      const sampler = sampleMost(() => subject.rssBytes());
      const result = await bench.load.run({ host: '127.0.0.1', port: subject.port, ...shape });
      mustBeAccepted(result, bench.queued);
      const putByMs = await untilAllFailed(health, bench.queued);
      const waiting = subject.rssBytes();
      const upAt = Date.now();
      await sink.ask('up');
      const first = await arrived(sink, 1, 6 * PATIENCE_MS);
      const last = await arrived(sink, bench.queued, 2 * PATIENCE_MS);
      const peak = sampler.stop();
      const perSecond = (bench.queued * 1000) / Math.max(1, last.lastAt - first.lastAt);
      bench.say(`${bench.queued} queued: begins after ${first.lastAt - upAt} ms, ${perSecond.toFixed(0)}/s`);
      const title = `${bench.queued} queued`;
      return [
        {
          what: `${title}: accepted while nothing can be sent`,
          unit: '/s',
          value: (bench.queued * 1000) / (result.endedAt - result.startedAt),
        },
        { what: `${title}: after the last 250, all in emails/failed`, unit: 'ms', value: putByMs },
        {
          what: `${title}: memory while they wait`,
          unit: 'MiB',
          value: mebibytes(waiting),
          target: most(150),
        },
        { what: `${title}: most memory until drained`, unit: 'MiB', value: mebibytes(peak) },
        { what: `${title}: first one after the provider's return`, unit: 'ms', value: first.lastAt - upAt },
        { what: `${title}: drained`, unit: '/s', value: perSecond, target: least(2500) },
      ];
    }),
  );
}

/** A relay that starts with a long queue: memory must not follow. */
async function longQueue(bench: Bench): Promise<Row[]> {
  const messages = bench.longQueue;
  if (messages === 0) return [];
  const use = async (sink: Sink, subject: Subject): Promise<Row[]> => {
    const sampler = sampleMost(() => subject.rssBytes());
    const from = await arrived(sink, 1, PATIENCE_MS);
    await sleep(10_000);
    const { counters } = await sink.ask('counters');
    const perSecond = ((counters.messages - from.messages) * 1000) / (counters.lastAt - from.lastAt);
    const peak = sampler.stop();
    bench.say(
      `${messages} in the queue: ready after ${subject.readyMs.toFixed(0)} ms, ${mebibytes(peak).toFixed(0)} MiB`,
    );
    const title = `${messages} of 240 bytes queued before the start`;
    return [
      { what: `${title}: ready`, unit: 'ms', value: subject.readyMs },
      {
        what: `${title}: most memory in 10 s of sending them`,
        unit: 'MiB',
        value: mebibytes(peak),
        target: most(200),
      },
      { what: `${title}: sent`, unit: '/s', value: perSecond },
    ];
  };
  return withSink({ tls: false }, sink =>
    withSubject(
      'relay',
      [{ name: 'only', port: sink.port }],
      subject => use(sink, subject),
      directory => fillSpool(directory, messages),
    ),
  );
}

/** Messages of 50 MB: memory must not follow. */
async function hugeMail(bench: Bench): Promise<Row[]> {
  const shape = { connections: 2, kept: true, bytes: 48 * MB, messages: 8 };
  return withSink({ tls: false }, sink =>
    withSubject('relay', [{ name: 'only', port: sink.port }], async subject => {
      const sampler = sampleMost(() => subject.rssBytes());
      const { result, lastAt } = await sent(bench.load, sink, {
        host: '127.0.0.1',
        port: subject.port,
        ...shape,
      });
      const peak = sampler.stop();
      bench.say(`48 MB messages: ${mebibytes(peak).toFixed(0)} MiB`);
      return [
        {
          what: '48 MB, 2 kept connections: end to end',
          unit: '/s',
          value: (result.accepted * 1000) / (lastAt - result.startedAt),
        },
        { what: '48 MB, 2 kept connections: most memory', unit: 'MiB', value: mebibytes(peak) },
      ];
    }),
  );
}

async function untilAllFailed(health: number, messages: number): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const response = await fetch(`http://127.0.0.1:${health}/metrics`);
    const found = /mailrelay_queue_messages\{state="failed"\} (\d+)/.exec(await response.text());
    if (Number(found?.[1]) >= messages) return performance.now() - startedAt;
    if (performance.now() - startedAt > 2 * PATIENCE_MS)
      throw new Error(`${found?.[1]} of ${messages} are in emails/failed`);
    await sleep(100);
  }
}

function mustBeAccepted({ accepted, firstRefusal }: LoadResult, messages: number): void {
  if (accepted !== messages) throw new Error(`${accepted} of ${messages} were accepted: ${firstRefusal}`);
}

function primaryAndSecond(primary: Sink, second: Sink): ProviderChoice[] {
  return [
    { name: 'primary', port: primary.port },
    { name: 'second', port: second.port },
  ];
}

async function withSink<T>(order: SinkOrder, use: (sink: Sink) => Promise<T>): Promise<T> {
  const sink = await startSink(order);
  try {
    return await use(sink);
  } finally {
    await sink.close();
  }
}

/** The run whose rate is in the middle; all of its figures, so that they fit together. */
function median(runs: readonly Figures[]): Figures {
  return runs.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(runs.length / 2)]!;
}
