/** One plausible event of every name, for tests. */
import type { RelayEvent } from '../../../relay/telemetry/events.ts';

const id = '0mfx2k4a7b3c9d1e5';

export const attempt: Extract<RelayEvent, { event: 'attempt' }> = {
  event: 'attempt',
  id,
  provider: 'primary',
  host: 'smtp.primary.com',
  try: 1,
  tries: 3,
  recipients: 2,
  stage: 'connect',
  outcome: 'failed',
  class: 'network',
  durationMs: 4.26,
  reply: 'connection refused',
  retryInMs: 1000,
};

export const accepted: Extract<RelayEvent, { event: 'message-accepted' }> = {
  event: 'message-accepted',
  id,
  authenticated: false,
  client: '127.0.0.1',
  sender: 'a@example.com',
  recipients: 2,
  size: 4100,
  commitMs: 0.81,
};

export const delivered: RelayEvent = {
  event: 'recipient-delivered',
  id,
  recipient: 'b@example.org',
  provider: 'backup',
  reply: '250 2.0.0 OK',
  delayMs: 1530,
};

export const everyEvent: readonly RelayEvent[] = [
  accepted,
  { event: 'message-refused', reason: 'too-large', client: '10.0.0.1', reply: '552 5.3.4 too large' },
  attempt,
  { ...attempt, outcome: 'delivered', stage: 'dot', class: 'none', code: 250, durationMs: 31 },
  delivered,
  {
    event: 'recipient-rejected',
    id,
    recipient: 'c@x',
    provider: 'backup',
    reply: '550 5.1.1 no',
    delayMs: 12,
  },
  { event: 'recipient-expired', id, recipient: 'c@x', delayMs: 432_000_000 },
  { event: 'delivery-ambiguous', id, provider: 'backup', recipients: 1, message: 'timeout after the dot' },
  { event: 'failover', id, from: 'primary', to: 'backup', reason: 'connection refused' },
  { event: 'round-failed', id, rounds: 1, pending: 2, dueInMs: 60_000, reason: 'connection refused' },
  { event: 'message-dead', id, reason: 'expired' },
  { event: 'drain-started', reason: 'backup is active again', messages: 12 },
  {
    event: 'provider-state',
    provider: 'primary',
    state: 'failing',
    previous: 'active',
    reason: 'connect-failed',
    message: 'connection refused',
  },
  {
    event: 'recipient-limit-found',
    provider: 'primary',
    recipients: 25,
    configured: 100,
    reply: '554 Transaction failed: Recipient count exceeds 50.',
  },
  { event: 'provider-probe', provider: 'primary', ok: false, message: 'connection refused', nextInMs: 5000 },
  { event: 'config-loaded', fingerprint: 'abcdef0123456789', providers: ['primary'], warnings: [] },
  { event: 'config-rejected', errors: ['forwardProviders[0].port: must be 1 to 65535'] },
  { event: 'spool-recovered', message: '3 messages', count: 3 },
  { event: 'spool-adopted', message: 'slot-1', count: 3 },
  { event: 'spool-waiting', message: 'in use by process 7' },
  { event: 'spool-failed', message: 'fsync: EIO' },
  { event: 'spool-trouble', message: 'the body of x cannot be read' },
  { event: 'spool-quarantined', message: 'x.eml', count: 1 },
  { event: 'disk-low', message: '1 MB free' },
  { event: 'disk-recovered', message: '1 GB free' },
  { event: 'dead-removed', message: '2 messages', count: 2 },
  { event: 'queue-operation', message: 'resend', count: 3 },
  { event: 'started', message: 'listening on 127.0.0.1:2525' },
  { event: 'stopping', message: 'SIGTERM' },
  { event: 'stopped', message: 'stopped' },
  { event: 'client-error', client: '10.0.0.1', message: 'reset' },
  { event: 'operation-failed', reference: '0a1b2c3d', message: 'GET /status: Error: surprise' },
];
