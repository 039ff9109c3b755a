/** A port that passes on what comes to another one at so many bytes a second, and the answers at once. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface SlowLine {
  readonly port: number;
  /** Where it leads to; connections made before are lost. */
  leadTo(port: number): void;
  close(): void;
}

/** Starts one. It leads nowhere at first. */
export async function startSlowLine(bytesPerSecond: number): Promise<SlowLine> {
  const open = new Set<Socket>();
  let target = 0;
  const server = createServer(near => {
    const far = connect(target, '127.0.0.1');
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        open.delete(one);
        other.end();
      });
    }
    far.pipe(near);
    near.on('data', (chunk: Buffer) => {
      far.write(chunk);
      near.pause();
      setTimeout(() => near.resume(), (chunk.length / bytesPerSecond) * 1000);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    leadTo: port => {
      target = port;
    },
    close: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
