/**
 * The writes that an operator makes for new MailRelays, by a plain client over
 * kept connections that knows what to write and does nothing else: no cache, no
 * comparison, no order. What an operator's rate is held against.
 */
import { readFile } from 'node:fs/promises';
import { Pool } from 'undici';
import type { MailRelayObject } from '../operator/api/mail-relay.ts';
import { mailRelays } from '../operator/api/mail-relay.ts';
import { drainFinalizer, fieldManager } from '../operator/api/names.ts';
import { parseMailRelay } from '../operator/api/parse.ts';
import { objectPath } from '../operator/kube/resource.ts';
import { children } from '../operator/resources/children.ts';
import type { ApiServer } from '../test/cluster/api-server.ts';
import { inParallel } from './operator-arena.ts';

interface Write {
  readonly path: string;
  readonly type: string;
  readonly body: string;
}

/** Of the operator's transport and of its pool of workers. */
const connections = 32;

/** Seconds for all, and how many writes they were. */
export async function baseline(
  server: ApiServer,
  relays: readonly MailRelayObject[],
): Promise<{ seconds: number; writes: number }> {
  const writes = relays.flatMap(writesOf);
  const [ca, cert, key] = await Promise.all(
    [server.authority, server.admin.certificate, server.admin.key].map(file => readFile(file)),
  );
  const pool = new Pool(server.url, { connections, connect: { ca: ca!, cert: cert!, key: key! } });
  const began = performance.now();
  await inParallel(writes.length, connections, at => send(pool, writes[at]!));
  const seconds = (performance.now() - began) / 1000;
  await pool.close();
  return { seconds, writes: writes.length };
}

async function send(pool: Pool, { path, type, body }: Write): Promise<void> {
  const headers = { 'content-type': type, accept: 'application/json', 'user-agent': 'baseline/1' };
  const response = await pool.request({ method: 'PATCH', path, headers, body });
  const text = await response.body.text();
  if (response.statusCode > 299) throw new Error(`${path}: ${text}`);
}

function writesOf(object: MailRelayObject): Write[] {
  const { relay } = parseMailRelay(object);
  if (relay === undefined) throw new Error('the benchmark wrote a MailRelay that is not valid');
  const context = {
    ...{ image: 'relay:1', operatorNamespace: 'default', monitoringNamespaces: ['monitoring'] },
    ...{ runbooks: 'https://mailrelay.dev/docs/runbooks', replicas: 0, draining: [] },
  };
  const applied = children(relay, context)
    .filter(({ optionalKind }) => !optionalKind)
    .flatMap(({ resource, manifest }): Write[] => {
      if (manifest === undefined) return [];
      const path = `${objectPath(resource, manifest.metadata)}?fieldManager=${fieldManager}&force=true`;
      return [{ path, type: 'application/apply-patch+yaml', body: JSON.stringify(manifest) }];
    });
  const merge = 'application/merge-patch+json';
  const finalizers = { metadata: { finalizers: [drainFinalizer] } };
  const own = objectPath(mailRelays, object.metadata);
  return [
    { path: own, type: merge, body: JSON.stringify(finalizers) },
    ...applied,
    { path: `${own}/status`, type: merge, body: JSON.stringify({ status: exampleStatus }) },
  ];
}

const condition = (type: string) => ({
  ...{ type, status: 'Unknown', reason: 'Unknown', observedGeneration: 1 },
  ...{ lastTransitionTime: '2026-01-01T00:00:00Z', message: 'no pod has reported yet' },
});
const exampleStatus = {
  observedGeneration: 1,
  conditions: ['Ready', 'ConfigurationValid', 'CredentialsAvailable', 'ProvidersHealthy', 'SpoolHealthy'].map(
    condition,
  ),
  ...{ replicas: 0, readyReplicas: 0, selector: 'app.kubernetes.io/name=mailrelay' },
  config: { fingerprint: '0123456789abcdef', loadedReplicas: 0 },
};
