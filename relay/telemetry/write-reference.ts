/**
 * Writes docs/events.md and docs/metrics.md. With --check it writes nothing
 * and ends with 1 when one of them is not what would be written.
 */
import { writeOrCheck } from '../../generated-files.ts';
import { createMetrics } from './metrics.ts';
import { eventsReference, metricsReference } from './reference.ts';

const none = { messages: 0, bytes: 0 };
const { registry } = createMetrics({
  counts: () => ({ active: none, failed: none, held: none, dead: none }),
  disk: () => ({ freeBytes: 0, reserveBytes: 0 }),
  providers: () => [],
  listenerConnections: () => 0,
  fingerprint: () => undefined,
  forwarding: () => true,
  configRefused: () => false,
  certificateEndsAt: () => undefined,
  spoolFailure: () => undefined,
  version: '',
});

writeOrCheck([
  ['docs/events.md', eventsReference()],
  ['docs/metrics.md', metricsReference(registry)],
]);
