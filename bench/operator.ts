/**
 * `npm run bench:operator`: measures the operator on an API server without
 * controllers, beside a plain client that makes the same writes in the same
 * run, and prints a table. `--relays 1000` how many, `--full` also with 5,000,
 * `--quick` for a short look, `--publish` to write bench/operator-results.md.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { Arena, baselineNamespace, namespace, type OperatorProcess } from './operator-arena.ts';
import { baseline } from './operator-baseline.ts';
import {
  converged,
  handOver,
  idle,
  latency,
  least,
  memory,
  most,
  outage,
  pause,
  quiet,
  type Row,
  restarted,
  sharedSecret,
} from './operator-scenarios.ts';
import { machine } from './table.ts';

const { values: flags } = parseArgs({
  options: {
    relays: { type: 'string', default: '1000' },
    full: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    publish: { type: 'boolean', default: false },
  },
});
const how = flags.quick
  ? { idleSeconds: 20, edits: 60, awaySeconds: 15 }
  : { idleSeconds: 180, edits: 300, awaySeconds: 60 };

const say = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

const rows = await measured(Number(flags.relays), true);
if (flags.full) rows.push(...(await measured(5000, false)));
const page = `# Results of \`npm run bench:operator\`

${machine()}

One API server and one etcd without controllers, the benchmark and the operator share the machine. MailRelays with three providers, every child but the Prometheus operator's, Deployments with 0 replicas. The operator is the bundle as it goes into the image. Converged = from the start of its process to an empty queue with every child and every status written. The plain client sends the same patches over 32 kept connections and does nothing else. Writes and reads are counted in the API server's audit log; idle figures are extrapolated from ${how.idleSeconds} s. To repeat: \`npm run bench:operator -- ${flags.full ? '--full ' : ''}--publish\` on a machine with Go or \`KUBEBUILDER_ASSETS\`.

${table(rows)}`;
process.stdout.write(`${page}\n`);
if (flags.publish) await writeFile(join(import.meta.dirname, 'operator-results.md'), `${page}\n`);

async function measured(relays: number, everything: boolean): Promise<Row[]> {
  const arena = await Arena.open();
  try {
    return await scenarios(arena, relays, everything);
  } finally {
    await arena.close();
  }
}

async function scenarios(arena: Arena, relays: number, everything: boolean): Promise<Row[]> {
  say(`${relays} MailRelays: idle, then plain client`);
  const found: Row[] = [];
  if (everything) found.push(await empty(arena));
  const plain = await baseline(arena.server, await arena.createRelays(baselineNamespace, relays));
  await arena.createRelays(namespace, relays);
  say('convergence');
  let leader = await arena.startOperator();
  found.push(...(await convergence(arena, leader, { relays, plain })));
  const again = await restarted(arena, leader, relays);
  found.push(again.row);
  leader = again.leader;
  if (!everything) return found;
  say('latency');
  found.push(...(await latency(arena, relays, how.edits)));
  await quiet(arena);
  say('idle');
  found.push(...(await idle(arena, how.idleSeconds)));
  say('shared Secret');
  found.push(...(await sharedSecret(arena, relays)));
  say('outage');
  found.push(...(await outage(arena, leader, how.awaySeconds)));
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    say(`hand-over on ${signal}`);
    const taken = await handOver(arena, leader, signal);
    found.push(taken.row);
    leader = taken.leader;
  }
  return found;
}

async function empty(arena: Arena): Promise<Row> {
  const operator = await arena.startOperator();
  await pause(5000);
  const row = memory('memory with no MailRelay (RSS)', operator, 0);
  await operator.service.stop('SIGTERM');
  return row;
}

async function convergence(
  arena: Arena,
  operator: OperatorProcess,
  { relays, plain }: { relays: number; plain: { seconds: number; writes: number } },
): Promise<Row[]> {
  const mark = await arena.audit.mark();
  const seconds = await converged(operator, relays, performance.now());
  const cpu = operator.cpuSeconds();
  await quiet(arena);
  await pause(5000);
  const { operatorWrites } = await import('../test/operator/audit.ts');
  const writes = operatorWrites(await arena.audit.since(mark)).length;
  const ratio = writes / seconds / (plain.writes / plain.seconds);
  const large = relays >= 5000;
  return [
    { what: `${relays} MailRelays converged`, value: seconds, unit: 's', target: most(large ? 180 : 30) },
    { what: `${relays}: writes`, value: writes, unit: '' },
    { what: `${relays}: writes of the plain client`, value: plain.writes, unit: '' },
    { what: `${relays}: rate of the plain client`, value: plain.writes / plain.seconds, unit: '/s' },
    { what: `${relays}: rate of the operator`, value: writes / seconds, unit: '/s' },
    {
      what: `${relays}: the operator's share of that rate`,
      value: 100 * ratio,
      unit: '%',
      target: least(60),
    },
    { what: `${relays}: CPU of the operator`, value: cpu, unit: 's' },
    memory(`memory with ${relays} (RSS)`, operator, relays),
  ];
}

function table(all: readonly Row[]): string {
  const lines = all.map(
    row => `| ${row.what} | ${figure(row.value)} ${row.unit} | ${aim(row)} | ${verdict(row)} |`,
  );
  return ['| what | measured | target | met |', '|---|---|---|---|', ...lines].join('\n');
}

function figure(value: number): string {
  return String(Number(value.toFixed(value < 10 ? 2 : 0)));
}

function aim({ unit, target }: Row): string {
  if (target === undefined) return '';
  return `${target.at === 'least' ? '≥' : '≤'} ${target.value} ${unit}`.trimEnd();
}

function verdict({ value, target }: Row): string {
  if (target === undefined) return '';
  const met = target.at === 'least' ? value >= target.value : value <= target.value;
  return met ? 'yes' : '**no**';
}
