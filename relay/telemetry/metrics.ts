/**
 * Counts what happens and reads what is, for Prometheus. emit() is a few map
 * look-ups an event; everything that can be asked is asked only when scraped.
 * Series of a provider vanish with it from the configuration.
 */
import { collectDefaultMetrics, type Histogram, Registry } from 'prom-client';
import type { Attempt, Emit, ProviderState, RecipientSettled, RefusalReason, RelayEvent } from './events.ts';
import { defineMetrics, type Metrics } from './metric-definitions.ts';
import type { CountedState, MetricsReaders } from './readers.ts';

export type { MetricsReaders } from './readers.ts';

export interface MetricsEndpoint {
  readonly emit: Emit;
  /** The Prometheus text format, version 0.0.4. */
  render(): Promise<string>;
  readonly contentType: string;
  readonly registry: Registry;
}

const queueStates: readonly CountedState[] = ['active', 'failed', 'held', 'dead'];

const providerStates: readonly ProviderState[] = [
  'active',
  'standby',
  'cooling',
  'failing',
  'suspended',
  'misconfigured',
];

const stages: ReadonlySet<string> = new Set(
  'dns connect tls greeting ehlo starttls auth mail rcpt data body dot'.split(' '),
);

/** Keys only: the compiler sees to it that none is missing. */
const refusals: Readonly<Record<RefusalReason, true>> = {
  'network-not-allowed': true,
  'authentication-required': true,
  'authentication-failed': true,
  'too-many-connections': true,
  'too-many-recipients': true,
  'too-large': true,
  'rate-limited': true,
  'bare-newline': true,
  loop: true,
  syntax: true,
  timeout: true,
  'disk-full': true,
  'store-failed': true,
  'shutting-down': true,
};

/** Creates a registry of its own with every metric in it. */
export function createMetrics(readers: MetricsReaders): MetricsEndpoint {
  const registry = new Registry();
  const metrics = defineMetrics(registry);
  addProcessMetrics(registry);
  const durations = new Durations(metrics.attemptDuration);
  for (const reason of Object.keys(refusals)) metrics.rejected.touch(reason);
  for (const result of ['delivered', 'rejected', 'expired']) metrics.recipients.touch(result);
  for (const result of ['success', 'failure']) metrics.reloads.touch(result);
  return {
    registry,
    contentType: registry.contentType,
    emit: event => count(event, metrics, durations),
    render() {
      syncProviders(readers, metrics, durations);
      readQueue(readers, metrics);
      readProgram(readers, metrics);
      return registry.metrics();
    },
  };
}

/**
 * Event loop, memory, CPU, garbage collection. The three *_total gauges of
 * prom-client are left out: a gauge must not be called _total, and their
 * unsuffixed forms stay.
 */
function addProcessMetrics(register: Registry): void {
  collectDefaultMetrics({ register, eventLoopMonitoringPrecision: 20 });
  for (const name of ['handles', 'requests', 'resources']) {
    register.removeSingleMetric(`nodejs_active_${name}_total`);
  }
}

interface Observer {
  observe(seconds: number): void;
}

/** Histogram children resolved once per provider and outcome. */
class Durations {
  readonly #histogram: Histogram;
  readonly #children = new Map<string, Map<string, Observer>>();

  constructor(histogram: Histogram) {
    this.#histogram = histogram;
  }

  observe(provider: string, outcome: string, ms: number): void {
    const byOutcome = this.#children.get(provider) ?? this.#remember(provider);
    let child = byOutcome.get(outcome);
    if (child === undefined) {
      child = this.#histogram.labels({ provider, outcome });
      byOutcome.set(outcome, child);
    }
    child.observe(ms / 1000);
  }

  #remember(provider: string): Map<string, Observer> {
    const byOutcome = new Map<string, Observer>();
    this.#children.set(provider, byOutcome);
    return byOutcome;
  }

  prune(names: ReadonlySet<string>): void {
    for (const [provider, byOutcome] of this.#children) {
      if (names.has(provider)) continue;
      for (const outcome of byOutcome.keys()) this.#histogram.remove({ provider, outcome });
      this.#children.delete(provider);
    }
  }
}

type Counting = {
  readonly [N in RelayEvent['event']]?: (event: never, metrics: Metrics, durations: Durations) => void;
};

const counting = {
  'message-accepted': (e: Extract<RelayEvent, { event: 'message-accepted' }>, m: Metrics) => {
    m.accepted.inc();
    m.acceptedBytes.inc(e.size);
    m.acceptDuration.observe(e.commitMs / 1000);
  },
  'message-refused': (e: { reason: string }, m: Metrics) => m.rejected.add([e.reason]),
  attempt: countAttempt,
  'recipient-delivered': (e: RecipientSettled, m: Metrics) => {
    m.recipients.add(['delivered']);
    m.delay.observe(e.delayMs / 1000);
  },
  'recipient-rejected': (_: RecipientSettled, m: Metrics) => m.recipients.add(['rejected']),
  'recipient-expired': (_: RecipientSettled, m: Metrics) => {
    m.recipients.add(['expired']);
    m.expired.inc();
  },
  'delivery-ambiguous': (_: unknown, m: Metrics) => m.ambiguous.inc(),
  failover: (e: { from: string; to: string }, m: Metrics) => m.failovers.add([e.from, e.to]),
  'round-failed': (_: unknown, m: Metrics) => m.roundsFailed.inc(),
  'message-dead': (_: unknown, m: Metrics) => m.dead.inc(),
  'provider-probe': (e: { provider: string; ok: boolean }, m: Metrics) =>
    m.probes.add([e.provider, e.ok ? 'success' : 'failure']),
  'config-loaded': (_: unknown, m: Metrics) => m.reloads.add(['success']),
  'config-rejected': (_: unknown, m: Metrics) => m.reloads.add(['failure']),
  'dead-removed': (e: { count?: number }, m: Metrics) => m.deadRemoved.inc(e.count ?? 1),
  'spool-quarantined': (e: { count?: number }, m: Metrics) => m.quarantined.inc(e.count ?? 1),
} satisfies Counting;

function count(event: RelayEvent, metrics: Metrics, durations: Durations): void {
  const step = (counting as Counting)[event.event];
  step?.(event as never, metrics, durations);
}

function countAttempt(event: Attempt, metrics: Metrics, durations: Durations): void {
  const stage = stages.has(event.stage) ? event.stage : 'other';
  metrics.attempts.add([event.provider, event.outcome, stage, event.class]);
  durations.observe(event.provider, event.outcome, event.durationMs);
  const delivered = event.outcome === 'delivered' || event.outcome === 'partial';
  if (delivered && event.id !== undefined) metrics.delivered.add([event.provider]);
}

function syncProviders(readers: MetricsReaders, metrics: Metrics, durations: Durations): void {
  const providers = readers.providers();
  const names = new Set(providers.map(provider => provider.name));
  const configured = (labels: Readonly<Record<string, string>>) => names.has(labels['provider'] ?? '');
  for (const tally of [metrics.attempts, metrics.delivered, metrics.probes]) tally.prune(configured);
  metrics.failovers.prune(labels => names.has(labels['from'] ?? '') && names.has(labels['to'] ?? ''));
  durations.prune(names);
  metrics.up.reset();
  metrics.state.reset();
  metrics.connections.reset();
  for (const { name: provider, state, connections } of providers) {
    metrics.up.set({ provider }, state === 'active' || state === 'standby' ? 1 : 0);
    metrics.connections.set({ provider }, connections);
    for (const each of providerStates) metrics.state.set({ provider, state: each }, each === state ? 1 : 0);
    metrics.delivered.touch(provider);
    metrics.attempts.touch(provider, 'delivered', 'dot', 'none');
    metrics.attempts.touch(provider, 'failed', 'connect', 'network');
    metrics.probes.touch(provider, 'success');
    metrics.probes.touch(provider, 'failure');
  }
}

function readQueue(readers: MetricsReaders, metrics: Metrics): void {
  const counts = readers.counts();
  const now = (readers.now ?? Date.now)();
  for (const state of queueStates) {
    const { messages, bytes, oldestReceivedAt } = counts[state];
    metrics.queueMessages.set({ state }, messages);
    metrics.queueBytes.set({ state }, bytes);
    const age = oldestReceivedAt === undefined ? 0 : Math.max(0, now - oldestReceivedAt) / 1000;
    metrics.queueOldest.set({ state }, age);
  }
}

function readProgram(readers: MetricsReaders, metrics: Metrics): void {
  const disk = readers.disk();
  metrics.diskFree.set(disk.freeBytes);
  metrics.diskReserve.set(disk.reserveBytes);
  metrics.spoolFailed.set(readers.spoolFailure() === undefined ? 0 : 1);
  metrics.listenerConnections.set(readers.listenerConnections());
  readCertificate(readers, metrics);
  metrics.forwarding.set(readers.forwarding() ? 1 : 0);
  metrics.configRefused.set(readers.configRefused() ? 1 : 0);
  metrics.configInfo.reset();
  const fingerprint = readers.fingerprint();
  if (fingerprint !== undefined) metrics.configInfo.set({ fingerprint }, 1);
  metrics.buildInfo.set({ version: readers.version }, 1);
}

function readCertificate({ certificateEndsAt }: MetricsReaders, { certificateEnd }: Metrics): void {
  const at = certificateEndsAt();
  if (at === undefined) certificateEnd.remove();
  else certificateEnd.set(at / 1000);
}
