import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import { selects } from '../../operator/kube/label-selector.ts';
import type { KubeClient } from '../../operator/kube/resource.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { configMaps } from './faulty-server.ts';

const group = { group: 'selected' };
const labelled: readonly Readonly<Record<string, string>>[] = [
  {},
  { tier: 'gold' },
  { tier: 'gold', shard: 'a' },
  { tier: 'silver', 'example.com/shard': 'b' },
  { tier: '' },
  { in: 'in', notin: 'x' },
  { weight: '10' },
  { weight: '9', tier: 'bronze' },
  { weight: 'heavy' },
];

const selectors = [
  '',
  'tier',
  '!tier',
  ' ! tier ',
  'tier=gold',
  'tier==gold',
  'tier = gold , shard = a',
  'tier!=gold',
  'tier=',
  'tier!=',
  'tier,shard',
  'tier,!shard',
  'tier in (gold,silver)',
  'tier in ( gold , silver ),!shard',
  'tier in (gold,)',
  'tier in ()',
  'tier notin (gold)',
  'tier notin (gold,),tier',
  'example.com/shard=b',
  'example.com/shard in (a,b),tier notin (gold)',
  'in=in',
  'in in (in),notin notin (y)',
  'weight>9',
  'weight<10',
  'weight > 8,weight<11,!tier',
];

describe('a label selector', () => {
  let server: ApiServer;
  let transport: Transport;
  let client: KubeClient;
  before(async () => {
    server = await startApiServer();
    const connection = await loadConnection({ kubeconfig: server.kubeconfig, env: {} });
    transport = createTransport({ connection, userAgent: 'kit-test/1' });
    client = createClient(transport);
    for (const [at, labels] of labelled.entries()) {
      const metadata = { namespace: 'default', name: `labelled-${at}`, labels: { ...labels, ...group } };
      await client.create(configMaps, { metadata });
    }
  });
  after(async () => {
    await transport?.close();
    await server?.stop();
  });

  for (const selector of selectors) {
    test(`"${selector}" selects what the API server selects`, async () => {
      const labelSelector = ['group=selected', selector].filter(text => text !== '').join(',');
      const { items } = await client.list(configMaps, { namespace: 'default', labelSelector });
      const ours = labelled.flatMap((labels, at) =>
        selects(labelSelector, { ...labels, ...group }) ? [`labelled-${at}`] : [],
      );
      assert.deepEqual(ours, items.map(({ metadata }) => metadata.name).sort());
    });
  }
});
