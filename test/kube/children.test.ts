import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { annotations, fieldManager } from '../../operator/api/names.ts';
import { manifestHash, needsApply } from '../../operator/kube/apply.ts';
import { createClient } from '../../operator/kube/client.ts';
import { differences } from '../../operator/kube/compare.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource, type KubeClient, type Resource } from '../../operator/kube/resource.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { children } from '../../operator/resources/children.ts';
import { podTemplate } from '../../operator/resources/pod-template.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { relayOf, specs } from '../unit/operator-api/relays.ts';
import { contextOf } from '../unit/operator-resources/contexts.ts';

const pods = defineResource<KubeObject>({ apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true });

/** The Prometheus operator's kinds without their schema: enough to see that ours are served and stored. */
const monitoringCrds = ['ServiceMonitor', 'PrometheusRule'].map(kind => {
  const plural = `${kind.toLowerCase()}s`;
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      names: { kind, plural },
      scope: 'Namespaced',
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
        },
      ],
    },
  };
});

describe('the children of a MailRelay on a real API server', () => {
  let server: ApiServer;
  let transport: Transport;
  let client: KubeClient;

  before(async () => {
    server = await startApiServer();
    transport = createTransport({
      connection: await loadConnection({ kubeconfig: server.kubeconfig, env: {} }),
      userAgent: 'children-test/1',
    });
    client = createClient(transport);
    for (const namespace of ['apps', ...Object.keys(specs)]) {
      const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
      const made = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } };
      await server.kubectl(['apply', '-f', '-'], JSON.stringify(made));
    }
    const list = { apiVersion: 'v1', kind: 'List', items: monitoringCrds };
    await server.kubectl(['apply', '-f', '-'], JSON.stringify(list));
    await server.kubectl(['wait', '--for=condition=Established', 'crd', '--all']);
    const important = {
      apiVersion: 'scheduling.k8s.io/v1',
      kind: 'PriorityClass',
      metadata: { name: 'important' },
      value: 1000,
    };
    await server.kubectl(['apply', '-f', '-'], JSON.stringify(important));
  });
  after(async () => {
    await transport?.close();
    await server?.stop();
  });

  for (const [name, spec] of Object.entries(specs)) {
    test(`as in golden/${name}.yaml are taken, by strict validation too`, async () => {
      const golden = readFileSync(
        new URL(`../unit/operator-resources/golden/${name}.yaml`, import.meta.url),
        'utf8',
      );
      assert.ok(parseAllDocuments(golden).length >= 8);
      const said = await server.kubectl(
        ['apply', '--server-side', '--dry-run=server', '--validate=strict', '-f', '-'],
        golden,
      );
      assert.doesNotMatch(said, /warning|error/i);
    });

    test(`of "${name}" are not written again: what is stored is what was wanted`, async () => {
      const relay = { ...relayOf(spec), namespace: name };
      for (const { resource, manifest } of children(relay, contextOf(relay))) {
        if (manifest === undefined) continue;
        const hashed = {
          ...manifest,
          metadata: {
            ...manifest.metadata,
            annotations: {
              ...manifest.metadata.annotations,
              [annotations.appliedHash]: manifestHash(manifest),
            },
          },
        };
        const live = await client.apply(resource as Resource, hashed, { fieldManager });
        assert.deepEqual(differences(manifest, live), [], resource.kind);
        assert.equal(needsApply(manifest, live, annotations.appliedHash), undefined);
      }
    });

    test(`of "${name}" make pods that meet the restricted Pod Security Standard`, async () => {
      const relay = { ...relayOf(spec), namespace: name };
      const { metadata = {}, spec: pod } = podTemplate(relay, contextOf(relay));
      const made = { ...metadata, name: 'mail-0', namespace: name };
      const spool = { name: 'spool', emptyDir: {} };
      const volumes = [...(pod?.volumes ?? []).filter(volume => volume.name !== 'spool'), spool];
      await client.create(pods, { metadata: made, spec: { ...pod, volumes } } as KubeObject, {
        dryRun: true,
      });
    });
  }

  test('would not be taken where a pod is less than restricted', async () => {
    const relay = relayOf(specs['minimal']!);
    const { spec: pod } = podTemplate(relay, contextOf(relay));
    const loose = { ...pod, hostNetwork: true };
    await assert.rejects(
      client.create(pods, { metadata: { name: 'x', namespace: 'apps' }, spec: loose } as KubeObject, {
        dryRun: true,
      }),
      /violates PodSecurity "restricted:latest"/,
    );
  });
});
