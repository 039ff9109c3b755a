/**
 * Tells running pods to drain when their MailRelay cannot be followed: adds
 * their names to the configuration that is there and changes nothing else of it.
 */
import { fingerprintOf } from '../../relay/config/fingerprint.ts';
import type { MailRelay } from '../api/mail-relay.ts';
import { fieldManager } from '../api/names.ts';
import { NotLeaderError } from '../kube/apply.ts';
import { configKey } from '../resources/config-map.ts';
import { configMaps } from '../resources/kinds.ts';
import { childNames } from '../resources/names.ts';
import type { ReconcilerDeps } from './deps.ts';
import { parsedObject } from './what-runs.ts';

/** Resolves with the fingerprint that the pods are to load; undefined = there is no configuration to add to. */
export async function drainInPlace(
  relay: MailRelay,
  draining: readonly string[],
  { client, caches, mayWrite }: ReconcilerDeps,
): Promise<string | undefined> {
  const live = await client.find(configMaps, {
    name: childNames(relay).configMap,
    namespace: relay.namespace,
  });
  const owned = live?.metadata.ownerReferences?.some(({ uid }) => uid === relay.uid) === true;
  const before = live?.data?.[configKey];
  const document = parsedObject(before);
  if (!owned || document === undefined) return undefined;
  const text = `${JSON.stringify({ ...document, draining: [...draining].sort() }, null, 2)}\n`;
  if (text !== before) {
    if (!mayWrite()) throw new NotLeaderError();
    const { uid, resourceVersion } = live.metadata;
    const patch = { metadata: { uid, resourceVersion }, data: { [configKey]: text } };
    const patched = await client.mergePatch(configMaps, live.metadata, patch, { fieldManager });
    caches.of(configMaps, relay.namespace)?.observe(patched);
  }
  return fingerprintOf(text);
}
