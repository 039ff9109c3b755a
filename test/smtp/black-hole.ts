/**
 * A port that answers no SYN, as behind a firewall that drops: a process
 * listens and never accepts, and its queue is kept full. Linux alone behaves
 * so; for a provider that accepts and says nothing use `provider.blackHole()`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface BlackHole {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

// The event loop is blocked right after listen(), so that nothing is ever accepted.
const LISTENER = `
const server = require('node:net').createServer();
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => {
  require('node:fs').writeSync(1, server.address().port + '\\n');
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
`;

/** Starts one; resolves once further connections hang. */
export async function startBlackHole(): Promise<BlackHole> {
  const listener = spawn(process.execPath, ['-e', LISTENER], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(listener.stdout, 'data')) as [Buffer];
  const port = Number(line.toString());
  const fillers: Socket[] = [];
  while (await connects(port, fillers));
  return { host: '127.0.0.1', port, close: () => stop(listener, fillers) };
}

/** One more connection: did it get through within 200 ms? */
async function connects(port: number, fillers: Socket[]): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => undefined);
  fillers.push(socket);
  return new Promise(resolve => {
    const timer = setTimeout(resolve, 200, false);
    socket.once('connect', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

async function stop(listener: ChildProcess, fillers: readonly Socket[]): Promise<void> {
  for (const socket of fillers) socket.destroy();
  const ended = once(listener, 'exit');
  listener.kill('SIGKILL');
  await ended;
}
