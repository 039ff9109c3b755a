/** A first provider that does not work, in two ways, and a second one that does. */
import { arrived, measure, type ProviderChoice, withSubject } from './arena.ts';
import { KEPT, plainRate } from './healthy.ts';
import type { Sink, Subject } from './processes.ts';
import { type Bench, least, most, PATIENCE_MS, type Row, withSink } from './scenario.ts';

/** Nothing listens where the first provider should be. */
export async function refusingPrimary(bench: Bench): Promise<Row[]> {
  const healthy = await plainRate(bench, 'relay');
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
export async function silentPrimary(bench: Bench): Promise<Row[]> {
  const healthy = await plainRate(bench, 'relay');
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

function primaryAndSecond(primary: Sink, second: Sink): ProviderChoice[] {
  return [
    { name: 'primary', port: primary.port },
    { name: 'second', port: second.port },
  ];
}
