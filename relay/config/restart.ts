/**
 * What a reload cannot change: addresses and ports that are bound, and the
 * directory that is owned. The old values stay in use until a restart, and
 * the configuration says so in its warnings.
 */
import type { RelayConfig } from './config.ts';

type Value = string | number | undefined;

const restartOnly: readonly (readonly [key: string, read: (config: RelayConfig) => Value])[] = [
  ['smtpHost', config => config.listener.host],
  ['smtpPort', config => config.listener.port],
  ['healthCheckHost', config => config.health.host],
  ['healthCheckPort', config => config.health.port],
  ['adminPort', config => config.adminPort],
  ['dataDir', config => config.dataDir],
  ['sharedDataDir', config => String(config.sharedDataDir)],
];

/** One sentence per changed key that needs a restart; empty when there is none. */
export function restartOnlyChanges(running: RelayConfig, next: RelayConfig): string[] {
  return restartOnly.flatMap(([key, read]) => {
    const [before, after] = [read(running), read(next)];
    if (before === after) return [];
    return `${key}: the change from ${before ?? 'off'} to ${after ?? 'off'} needs a restart; until then ${before ?? 'off'} stays in use`;
  });
}

/** `next`, with what needs a restart as it is running, and a warning for each such key. */
export function keepRestartOnly(running: RelayConfig, next: RelayConfig): RelayConfig {
  const changes = restartOnlyChanges(running, next);
  if (changes.length === 0) return next;
  return {
    ...next,
    listener: { ...next.listener, host: running.listener.host, port: running.listener.port },
    health: running.health,
    adminPort: running.adminPort,
    dataDir: running.dataDir,
    sharedDataDir: running.sharedDataDir,
    warnings: [...next.warnings, ...changes],
  };
}
