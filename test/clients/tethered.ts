/**
 * A server that someone else wrote, run in the foreground for one test. It and
 * everything it forks are one process group, which ends with stop() and also
 * when the test's own process ends in whatever way: a shell around it notices
 * that its input is closed.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { dial, hello } from '../smtp/client.ts';
import { until } from '../smtp/wait.ts';

/** $0 is its first word; the rest is the server's command line. TERM first, KILL for what is left. */
const TETHER = `
"$@" < /dev/null &
server=$!
read -r _
trap '' TERM
kill -TERM 0
(sleep 0.5; kill -KILL 0) &
wait $server
kill -KILL 0
`;

export class Tethered {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  output = '';

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.#child = spawn('sh', ['-c', TETHER, 'tether', program, ...args], {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (text: Buffer) => {
        this.output += text;
      });
    }
    this.#closed = once(this.#child, 'close');
  }

  /** Ends the whole group; resolves when it is gone. */
  async stop(): Promise<void> {
    this.#child.stdin?.end();
    await this.#closed;
  }
}

/** Whether a program can be run here. */
export function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin; command -v ${program}`]).status === 0;
}

let lastPort = 12_000 + Math.floor(Math.random() * 15_000);

/** A port that is free now and that no outgoing connection takes: below the ephemeral ones. */
export async function freePort(): Promise<number> {
  for (;;) {
    lastPort += 1 + Math.floor(Math.random() * 20);
    const port = lastPort;
    const server = createServer();
    const free = await new Promise<boolean>(resolve => {
      server.once('error', () => resolve(false));
      server.listen({ host: '127.0.0.1', port }, () => resolve(true));
    });
    if (!free) continue;
    await new Promise(resolve => server.close(resolve));
    return port;
  }
}

/** Waits until something accepts connections there, and greets when it is to. `excuse` says what to show when nothing does. */
export async function untilListening(
  { port, greets }: { readonly port: number; readonly greets: boolean },
  what: string,
  excuse: () => string,
): Promise<void> {
  const listening = async (): Promise<boolean> => {
    try {
      (await (greets ? hello : dial)({ host: '127.0.0.1', port })).destroy();
      return true;
    } catch {
      return false;
    }
  };
  await until(listening, what, 20_000).catch((error: unknown) => {
    throw new Error(`${(error as Error).message}; it said: ${excuse()}`);
  });
}
