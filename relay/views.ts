/**
 * What the running relay shows of itself: to the probes and /status, to the
 * metrics, and to the log as the values it must never write.
 */
import { hostname } from 'node:os';
import packageJson from '../package.json' with { type: 'json' };
import type { ProviderView, RelayView } from './admin/view.ts';
import type { RelayConfig } from './config/config.ts';
import type { Relay } from './program.ts';
import type { MetricsReaders } from './telemetry/metrics.ts';

export const version: string = packageJson.version;

/** For the probes and /status. */
export function relayView(relay: Relay): RelayView {
  return {
    version,
    host: hostname(),
    startedAt: relay.startedAt,
    phase: () => relay.phase,
    config: () => relay.config,
    lastConfigError: () => relay.configTrouble,
    providers: () => relay.parts.delivery.providers() satisfies readonly ProviderView[],
    counts: () => relay.queue.counts(),
    quarantined: () => relay.queue.quarantined(),
    disk: () => relay.parts.spool.disk(),
    spoolFailure: () => spoolFailure(relay),
    listener: () => {
      const { address, connections, accepts } = relay.parts.listener;
      return { ...address, connections: connections(), accepts: accepts() };
    },
  };
}

/** For /metrics. */
export function metricsReaders(relay: Relay): MetricsReaders {
  return {
    version,
    counts: () => relay.queue.counts(),
    disk: () => relay.parts.spool.disk(),
    providers: () => relay.parts.delivery.providers(),
    listenerConnections: () => relay.parts.listener.connections(),
    fingerprint: () => relay.config.fingerprint,
    forwarding: () => relay.config.forwarding,
    certificateEndsAt: () => relay.config.listener.certificateEndsAt,
    configRefused: () => relay.configTrouble !== undefined,
    spoolFailure: () => spoolFailure(relay),
  };
}

/** Every password in use. */
export function secretsOf(config: RelayConfig): string[] {
  const credentials = config.providers.flatMap(provider => provider.credentials ?? []);
  return [...credentials, ...config.listener.accounts].map(({ password }) => password);
}

function spoolFailure({ parts }: Relay): string | undefined {
  return parts.spool.failure() ?? parts.delivery.broken;
}
