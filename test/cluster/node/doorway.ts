/**
 * The way to a node's API server from outside its network: a port on loopback
 * here, connections to 127.0.0.1:6443 there. `open` listens, hands the listening
 * socket to a copy of itself that runs inside, and ends; that copy never outlives
 * the node, because it runs in the node's process namespace.
 *
 *     doorway.ts open PID DIRECTORY    PID is the node's first process; writes the port to DIRECTORY/doorway
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import process from 'node:process';

const apiServer = { host: '127.0.0.1', port: 6443 };

/** Below the range of ports of outgoing connections, so that it is seldom taken. */
async function listen(): Promise<Server> {
  for (;;) {
    const server = createServer();
    server.listen(20_000 + Math.floor(Math.random() * 12_000), '127.0.0.1');
    try {
      await once(server, 'listening');
      return server;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    }
  }
}

async function open(pid: string, directory: string): Promise<void> {
  const server = await listen();
  const inside = fork(import.meta.filename, ['serve'], {
    execPath: 'nsenter',
    execArgv: ['--target', pid, '--net', '--pid', '--', process.execPath],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    detached: true,
  });
  inside.send('listen', server);
  const [answer] = await Promise.race([once(inside, 'message'), once(inside, 'exit')]);
  if (answer !== 'listening') throw new Error(`the doorway did not open (${answer})`);
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the doorway has no port');
  await writeFile(join(directory, 'doorway'), String(address.port));
  inside.disconnect();
  inside.unref();
  server.close();
}

function serve(): void {
  process.once('message', (_message, handle) => {
    const server = handle as Server;
    server.on('connection', pass);
    process.send?.('listening');
  });
}

function pass(outside: Socket): void {
  const inside = connect({ ...apiServer, noDelay: true });
  outside.setNoDelay(true);
  outside.on('error', () => inside.destroy()).on('close', () => inside.destroy());
  inside.on('error', () => outside.resetAndDestroy()).on('close', () => outside.destroy());
  outside.pipe(inside).pipe(outside);
}

const [task, pid = '', directory = ''] = process.argv.slice(2);
if (task === 'open') await open(pid, directory);
else serve();
