/** What is told of a client that misbehaves on the network (resets, failed TLS handshakes). A port scan tells many: the log sums them up. */
import type { ClientError } from '../telemetry/events.ts';

/** TLS errors quote what they did not understand. */
const LONGEST = 200;

export function clientError(client: string, error: Error): ClientError {
  const message = error.message.replace(/\p{Cc}+/gu, ' ').slice(0, LONGEST);
  return { event: 'client-error', client, message };
}
