/**
 * Writes docs/events.md and docs/metrics.md. With --check it writes nothing
 * and ends with 1 when one of them is not what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs';
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
  spoolFailure: () => undefined,
  version: '',
});

const pages: readonly (readonly [path: string, text: string])[] = [
  ['docs/events.md', eventsReference()],
  ['docs/metrics.md', metricsReference(registry)],
];

const base = new URL('../../', import.meta.url);
const check = process.argv.includes('--check');
for (const [path, text] of pages) {
  const file = new URL(path, base);
  if (!check) writeFileSync(file, text);
  else if (present(file) !== text) {
    process.stderr.write(`${path} is out of date: run node relay/telemetry/write-reference.ts\n`);
    process.exitCode = 1;
  }
}

function present(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
