/**
 * Puts the bounce message for recipients that ended badly (bounce.ts) into the
 * spool, before the message itself is settled: a crash between the two can
 * repeat the notice, never lose it.
 */
import type { Recipient, StoredMessage } from '../spool/message.ts';
import type { Spool } from '../spool/spool.ts';
import { buildBounce } from './bounce.ts';

/** A header longer than this is quoted only so far. */
const HEAD_BYTES = 64 * 1024;

export interface BounceDeps {
  readonly spool: Pick<Spool, 'begin' | 'read'>;
  /** Name of this relay in the notice. */
  readonly hostname: string;
  readonly now: () => number;
}

/** Does nothing for a null sender or when there is nobody to tell of. Without the header when that cannot be read. Rejects with SpoolError. */
export async function sendBounce(
  message: StoredMessage,
  recipients: readonly Recipient[],
  { spool, hostname, now }: BounceDeps,
): Promise<void> {
  if (message.sender === '') return;
  const draft = spool.begin();
  try {
    // A body that is gone takes nobody's notice with it.
    const head = await readHead(spool, message).catch(() => Buffer.alloc(0));
    const bounce = buildBounce(message, recipients, { hostname, now: now(), token: draft.id, head });
    if (bounce === undefined) return draft.abort();
    await draft.write(bounce.content);
    await draft.commit({ envelope: bounce.envelope, receivedAt: now() });
  } catch (error) {
    draft.abort();
    throw error;
  }
}

async function readHead(spool: Pick<Spool, 'read'>, message: StoredMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of spool.read(message.id)) {
    chunks.push(chunk);
    size += chunk.length;
    if (size >= HEAD_BYTES) break;
  }
  return Buffer.concat(chunks).subarray(0, HEAD_BYTES);
}
