/**
 * Keeps room for whoever comes next: over the limit the connection that was
 * heard longest ago is closed, never the new one refused, so that clients
 * that connect and say nothing cannot take the probes away. One whose
 * request is being answered goes only when all others are, too.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** Holds the server to `most` connections from now on. */
export function roomFor(server: Server, most: number): void {
  /** In the order in which they were last heard; the value says whether a request is being answered. */
  const heard = new Map<Socket, boolean>();
  const touch = (socket: Socket, answering: boolean): void => {
    // A socket that was closed before its answer was made stays forgotten.
    if (heard.delete(socket)) heard.set(socket, answering);
  };
  server.on('connection', (socket: Socket) => {
    if (heard.size >= most) longestSilent(heard)?.destroy();
    heard.set(socket, false);
    socket.once('close', () => heard.delete(socket));
  });
  server.on('request', (request, response) => {
    const { socket } = request;
    touch(socket, true);
    response.once('close', () => touch(socket, false));
  });
}

function longestSilent(heard: ReadonlyMap<Socket, boolean>): Socket | undefined {
  let answered: Socket | undefined;
  for (const [socket, answering] of heard) {
    if (socket.destroyed) continue;
    if (!answering) return socket;
    answered ??= socket;
  }
  return answered;
}
