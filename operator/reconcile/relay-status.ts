/**
 * What a relay pod says of itself at /status, as far as the operator reads it,
 * and how it is asked. The document is checked at this border: a pod of
 * another version, somebody's own image, or something else on that address, is
 * an error and neither a crash nor a status that the API server refuses.
 */
import { request } from 'undici';
import * as z from 'zod';
import { maxProviders } from '../../relay/config/schema.ts';

const queueSchema = z.looseObject({
  messages: z.int().min(0),
  bytes: z.number(),
  oldestAgeSeconds: z.number().optional(),
});

const relayStatusSchema = z.looseObject({
  version: z.string(),
  ready: z.boolean(),
  notReady: z.string().optional(),
  draining: z.boolean().default(false),
  fingerprint: z.string().optional(),
  lastConfigError: z.looseObject({ errors: z.array(z.string()) }).optional(),
  spoolFailure: z.string().optional(),
  providers: z
    .array(
      z.looseObject({
        name: z.string(),
        state: z.enum(['active', 'standby', 'cooling', 'failing', 'suspended', 'misconfigured']),
        since: z.iso.datetime(),
        reason: z.string(),
        message: z.string(),
      }),
    )
    .max(maxProviders),
  queue: z.object({ active: queueSchema, failed: queueSchema, held: queueSchema, dead: queueSchema }),
  disk: z.looseObject({ freeBytes: z.number(), reserveBytes: z.number(), low: z.boolean() }),
  listener: z.looseObject({ connections: z.number() }).optional(),
});

export type RelayStatus = z.output<typeof relayStatusSchema>;

/** Port of probes, status and metrics in the pod. */
export const healthPort = 8025;
const timeoutMs = 2000;
/** A status of 32 providers is a few kilobytes. */
const mostBytes = 1024 * 1024;
/** Of what is said to people about an answer that is none. */
const longestComplaint = 1024;

/** Asks one pod. Rejects with an Error whose message is for people. */
export async function fetchRelayStatus(address: string, port: number = healthPort): Promise<RelayStatus> {
  const host = address.includes(':') ? `[${address}]` : address;
  const { statusCode, body } = await request(`http://${host}:${port}/status`, {
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    signal: AbortSignal.timeout(timeoutMs),
  });
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    chunks.push(chunk as Buffer);
    size += (chunk as Buffer).length;
    if (size > mostBytes) throw new Error(`/status answered with more than ${mostBytes} bytes`);
  }
  if (statusCode !== 200) throw new Error(`/status answered ${statusCode}`);
  const parsed = relayStatusSchema.safeParse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  if (parsed.success) return parsed.data;
  const complaint = z.prettifyError(parsed.error).slice(0, longestComplaint);
  throw new Error(`/status is not what a relay says: ${complaint}`);
}
