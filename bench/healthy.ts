/** A provider that works: each shape of load against relay and baseline, and the way over STARTTLS and AUTH. */
import { type Figures, type Kind, measure, type Shape, withSubject } from './arena.ts';
import { type Bench, KB, least, MB, mebibytes, most, type Row, type Target, withSink } from './scenario.ts';

const USERS = { bench: 'a password' };

interface Loaded extends Shape {
  readonly name: string;
  readonly perSecond?: Target;
  readonly p50Ms?: Target;
  readonly cpuMs?: Target;
}

export const KEPT: Loaded = {
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

/** All shapes against relay and baseline in turn. */
export async function healthyLoads(bench: Bench): Promise<Row[]> {
  const rows: Row[] = [];
  for (const shape of LOADS) {
    const results: Record<Kind, Figures[]> = { relay: [], baseline: [] };
    for (let round = 0; round < bench.rounds; round++) {
      for (const kind of ['relay', 'baseline'] as const) {
        results[kind].push(await onePlain(bench, kind, shape));
      }
    }
    rows.push(...loadRows(shape, median(results.relay), median(results.baseline)));
  }
  return rows;
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

/** The usual load now, since other work on the machine comes and goes: what is measured next is compared with it. */
export async function plainRate(bench: Bench, kind: Kind): Promise<number> {
  return (await onePlain(bench, kind, KEPT)).perSecond;
}

/** Each right after the plain way, as often as the bench has rounds; the median of the ratios counts. */
export async function securedUpstream(bench: Bench): Promise<Row[]> {
  const shares: number[] = [];
  const runs: Figures[] = [];
  for (let round = 0; round < bench.rounds; round++) {
    const healthy = await plainRate(bench, 'relay');
    const secured = await oneSecured(bench, 'relay');
    runs.push(secured);
    shares.push(secured.perSecond / healthy);
  }
  const relay = median(runs);
  const baseline = await oneSecured(bench, 'baseline');
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
      value: middle(shares),
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

async function oneSecured(bench: Bench, kind: Kind): Promise<Figures> {
  const figures = await withSink({ tls: true, users: USERS }, sink => {
    const login = { user: 'bench', pass: USERS.bench, ca: sink.ca };
    return withSubject(kind, [{ name: 'only', port: sink.port, login }], subject =>
      measure({ load: bench.load, sink, subject }, KEPT, bench.timing),
    );
  });
  bench.say(`STARTTLS and AUTH, ${kind}: ${figures.perSecond.toFixed(0)}/s`);
  return figures;
}

function middle(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}

/** The run whose rate is in the middle; all of its figures, so that they fit together. */
function median(runs: readonly Figures[]): Figures {
  return runs.toSorted((a, b) => a.perSecond - b.perSecond)[Math.floor(runs.length / 2)]!;
}
