/**
 * Keeps a failed write from hiding what the peer said before it closed. A
 * provider that answers 552 in the middle of DATA and closes resets the
 * connection; our next write then fails, Node.js destroys the socket at once,
 * and the 552 in the kernel's buffer is never read: one time in five, measured.
 */
import type { Socket } from 'node:net';

/** Makes a write error end this socket only after what has arrived was read. */
export function hearLastWords(socket: Socket): void {
  const destroy = socket.destroy.bind(socket);
  let waiting = false;
  socket.destroy = error => {
    if (waiting || (error as NodeJS.ErrnoException | undefined)?.syscall !== 'write') return destroy(error);
    waiting = true;
    readOn(socket);
    // Two turns: the first may end this one, the second is sure to come after a whole poll for input.
    setImmediate(() => setImmediate(() => destroy(error)));
    return socket;
  };
}

/**
 * A write error marks the reading half of a duplex stream as failed too, and
 * then drops what is read. There is no public way to take that back; where
 * this one stops working, a test fails and the connection just counts as lost.
 */
function readOn(socket: Socket): void {
  const { _readableState: state } = socket as Socket & { _readableState?: { errored: Error | null } };
  if (state !== undefined) state.errored = null;
}
