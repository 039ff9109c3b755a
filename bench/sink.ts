/**
 * The provider at the end of the line, in a process of its own: the scripted
 * provider of the tests, which only counts. Told over IPC what to be, asked
 * over IPC what it received.
 */
import { authority } from '../test/smtp/certificates.ts';
import { type ScriptedProvider, startProvider } from '../test/smtp/provider.ts';
import type { SinkOrder, SinkRequest, SinkState } from './messages.ts';

let provider: ScriptedProvider | undefined;

process.on('message', (request: SinkOrder | SinkRequest) => void serve(request));
process.on('disconnect', () => process.exit(0));
process.send?.('ready');

async function serve(request: SinkOrder | SinkRequest): Promise<void> {
  if (typeof request === 'object') provider = await start(request);
  else if (request === 'down') await provider?.down();
  else if (request === 'up') await provider?.up();
  process.send?.(state());
}

async function start({ tls, users, silent, down }: SinkOrder): Promise<ScriptedProvider> {
  const started = await startProvider({
    keep: 'count',
    tls: tls ? 'starttls' : 'none',
    ...(users === undefined ? {} : { users }),
  });
  if (silent === true) started.blackHole();
  if (down === true) await started.down();
  return started;
}

function state(): SinkState {
  const { port, counters } = provider!;
  return { port, ca: authority().certificate, counters: { ...counters } };
}
