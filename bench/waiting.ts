/** Mail that waits, much of it or large: memory must not follow, and it must leave quickly once it can. */
import { setTimeout as sleep } from 'node:timers/promises';
import { arrived, sampleMost, sent, withSubject } from './arena.ts';
import { plainRate } from './healthy.ts';
import type { LoadResult } from './messages.ts';
import { fillSpool, type Sink, type Subject } from './processes.ts';
import { type Bench, KB, least, MB, mebibytes, most, PATIENCE_MS, type Row, withSink } from './scenario.ts';

/** Mail that waits in emails/failed, and what happens when the provider returns. */
export async function queuedMail(bench: Bench): Promise<Row[]> {
  const baseline = await plainRate(bench, 'baseline');
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
        // No queue of the baseline's own to compare with: what it does with mail that never waits.
        {
          what: `${title}: drained, baseline: sent without waiting`,
          unit: '/s',
          value: perSecond,
          baseline,
          target: least(2500, 2500 / 1385),
        },
      ];
    }),
  );
}

/** A relay that starts with a long queue: memory must not follow. */
export async function longQueue(bench: Bench): Promise<Row[]> {
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
export async function hugeMail(bench: Bench): Promise<Row[]> {
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
