/**
 * What a relay pod says of itself at /status, as far as the operator reads it,
 * and how it is asked. The document is checked at this border: a pod of
 * another version, somebody's own image, or something else on that address, is
 * an error and neither a crash nor a status that the API server refuses.
 */
import { request } from 'undici';
import * as z from 'zod';
import { maxProviders } from '../../relay/config/schema.ts';
import { plainWords } from './plain-words.ts';

/** More mail than any volume holds; the sum over a thousand pods is still a whole number. */
const mostMessages = 1_000_000_000_000;

const words = (longest: number) => z.string().transform(text => plainWords(text, longest));
const bytes = z.number().nonnegative();

const queueSchema = z.object({
  messages: z.int().nonnegative().max(mostMessages),
  bytes,
  oldestAgeSeconds: z.number().nonnegative().optional(),
});

const relayStatusSchema = z.object({
  version: words(64),
  /** Whose it is. A relay of an older image does not say it. */
  host: words(253).optional(),
  ready: z.boolean(),
  draining: z.boolean().default(false),
  fingerprint: z.string().max(256).optional(),
  lastConfigError: z
    .object({ errors: z.array(words(512)).transform(errors => errors.slice(0, 10)) })
    .optional(),
  spoolFailure: words(1024).optional(),
  providers: z
    .array(
      z.object({
        name: words(253),
        state: z.enum(['active', 'standby', 'cooling', 'failing', 'suspended', 'misconfigured']),
        since: z.iso.datetime(),
        reason: words(256),
        message: words(1024),
      }),
    )
    .max(maxProviders),
  queue: z.object({ active: queueSchema, failed: queueSchema, held: queueSchema, dead: queueSchema }),
  /** Absent: it cannot be read, or the relay is of a version that does not say it; there may be some. */
  quarantine: z.object({ files: z.int().nonnegative().max(mostMessages) }).optional(),
  disk: z.object({
    freeBytes: bytes,
    reserveBytes: bytes,
    /** Relays before 0.1.0 do not say it. */
    totalBytes: bytes.optional(),
    low: z.boolean(),
  }),
  /** `accepts`: whether new clients may hand in mail. A relay of an older image does not say it. */
  listener: z.object({ connections: z.number(), accepts: z.boolean().optional() }).optional(),
});

export type RelayStatus = z.output<typeof relayStatusSchema>;

/** Port of probes, status and metrics in the pod. */
export const healthPort = 8025;
const timeoutMs = 2000;
/** A status of 32 providers is a few kilobytes. */
const mostBytes = 1024 * 1024;

/** Thrown when a pod does not say how it is. The message goes on where "pod mail-0" ends. */
export class UnknownStatusError extends Error {
  override readonly name = 'UnknownStatusError';
}

/** Asks one pod. Rejects with UnknownStatusError. */
export async function fetchRelayStatus(address: string, port: number = healthPort): Promise<RelayStatus> {
  const host = address.includes(':') ? `[${address}]` : address;
  return parseRelayStatus(await get(`http://${host}:${port}/status`));
}

/**
 * An address is given to another pod while caches still have it as that of this one. Names of pods that controllers make
 * have at most 63 characters, so that they are host names as they are. Throws UnknownStatusError.
 */
export function checkWhose({ host }: RelayStatus, pod: string): void {
  if (host === undefined || host === pod) return;
  throw new UnknownStatusError(
    `does not say how it is: host ${host} answers at its address, which is another pod, or this one with a host name that is not its name, by which it cannot be told to drain`,
  );
}

/** What a pod answered, checked. Throws UnknownStatusError. */
export function parseRelayStatus(text: string): RelayStatus {
  const document = json(text);
  const parsed = relayStatusSchema.safeParse(document);
  if (parsed.success) return parsed.data;
  const { version } = z.object({ version: z.string() }).safeParse(document).data ?? {};
  const what = version === undefined ? 'what it answers' : `what version ${plainWords(version, 64)} answers`;
  const why = parsed.error.issues
    .slice(0, 3)
    .map(({ path, message }) => `${path.join('.') || 'the document'}: ${message}`);
  throw new UnknownStatusError(
    `does not say what it runs: ${what} at /status is not what this operator reads (${plainWords(why.join('; '), 512)}): use an image of the operator's version`,
  );
}

async function get(url: string): Promise<string> {
  try {
    const { statusCode, body } = await request(url, { signal: AbortSignal.timeout(timeoutMs) });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of body) {
      chunks.push(chunk as Buffer);
      size += (chunk as Buffer).length;
      if (size > mostBytes) throw unreadable(`more than ${mostBytes} bytes`);
    }
    if (statusCode !== 200) throw unreadable(`HTTP ${statusCode}`);
    return Buffer.concat(chunks).toString('utf8');
  } catch (error) {
    if (error instanceof UnknownStatusError) throw error;
    const { port } = new URL(url);
    throw new UnknownStatusError(
      `cannot be asked at port ${port} (${causeOf(error)}): see its log, and whether a NetworkPolicy keeps the operator out`,
      { cause: error },
    );
  }
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw unreadable('no JSON');
  }
}

function unreadable(what: string): UnknownStatusError {
  return new UnknownStatusError(
    `does not say what it runs: /status answered with ${what}: see its log, and its image`,
  );
}

/** In few words, and the same each time: it stands in a condition. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError' || error.name === 'AbortError') return `no answer in ${timeoutMs} ms`;
  const { code } = error as Error & { readonly code?: unknown };
  return plainWords(typeof code === 'string' ? code : error.message, 128);
}
