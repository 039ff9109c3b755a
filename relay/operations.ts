/**
 * What people may do to a running relay through the loopback endpoint, made
 * of the parts' own methods.
 */
import type { AdminOperations, ReloadResult, VerifyResult } from './admin/view.ts';
import type { Relay } from './program.ts';

export function adminOperations(relay: Relay): AdminOperations {
  const { delivery } = relay.parts;
  return {
    queue: relay.queue,
    changed: (operation, count) => {
      relay.emit({ event: 'queue-operation', message: operation, count });
      if (operation !== 'hold' && operation !== 'delete') delivery.look();
    },
    reload: () => reload(relay),
    verify: () => verify(relay),
  };
}

async function reload(relay: Relay): Promise<ReloadResult> {
  if (!(await relay.reload())) return { ok: false, errors: relay.configTrouble?.errors ?? [] };
  const { fingerprint, warnings } = relay.config;
  return { ok: true, fingerprint, warnings };
}

async function verify(relay: Relay): Promise<VerifyResult[]> {
  const startedAt = Date.now();
  const results = await relay.parts.delivery.verify();
  return results.map(({ provider, error }) => {
    const { host, port } = relay.config.providers.find(({ name }) => name === provider)!;
    const message = error ?? 'connected and logged in';
    return { provider, host, port, ok: error === undefined, message, durationMs: Date.now() - startedAt };
  });
}
