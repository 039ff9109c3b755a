/**
 * Puts the bounce message for recipients that ended badly (bounce.ts) into the
 * spool, in one commit with the word that their sender was told: a crash can
 * neither lose the notice nor repeat it.
 */
import type { Recipient, StoredMessage } from '../spool/message.ts';
import type { Spool } from '../spool/spool.ts';
import { buildBounce, isUntold } from './bounce.ts';

/** A header longer than this is quoted only so far. */
const HEAD_BYTES = 64 * 1024;

export interface BounceDeps {
  readonly spool: Pick<Spool, 'begin' | 'read'>;
  /** Name of this relay in the notice. */
  readonly hostname: string;
  readonly now: () => number;
}

/**
 * Resolves with the recipients as they are on disk by then: nobody is left to tell of. Writes nothing where no
 * bounce can be made (a null sender). Goes without the header when that cannot be read. Rejects with SpoolError;
 * nothing has changed then.
 */
export async function sendBounce(
  message: StoredMessage,
  recipients: readonly Recipient[],
  { spool, hostname, now }: BounceDeps,
): Promise<readonly Recipient[]> {
  const told = recipients.map(one => (isUntold(one) ? { ...one, bounced: true as const } : one));
  if (message.sender === '') return told;
  const draft = spool.begin({ owed: true });
  try {
    // A body that is gone takes nobody's notice with it.
    const head = await readHead(spool, message).catch(() => Buffer.alloc(0));
    const bounce = buildBounce(message, recipients, { hostname, now: now(), token: draft.id, head });
    if (bounce === undefined) {
      draft.abort();
      return told;
    }
    await draft.write(bounce.content);
    const arrival = { envelope: bounce.envelope, receivedAt: now() };
    await draft.commit(arrival, { id: message.id, recipients: told });
    return told;
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
