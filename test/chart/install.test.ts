import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { stringify } from 'yaml';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';
import { chart, fullValues, helm, one, release, render, renderText, repository } from './helm.ts';

/** The kinds of the Prometheus operator, without their schemas. */
const monitoringKinds = [
  ['ServiceMonitor', 'servicemonitors'],
  ['PrometheusRule', 'prometheusrules'],
].map(([kind, plural]) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.monitoring.coreos.com` },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind, plural, singular: kind?.toLowerCase(), listKind: `${kind}List` },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}));

const minimal = {
  apiVersion: 'mailrelay.dev/v1alpha1',
  kind: 'MailRelay',
  metadata: { name: 'mail', namespace: 'apps' },
  spec: {
    forwardProviders: [{ name: 'primary', host: 'smtp.example.com', port: 587 }],
    spool: { size: '1Gi' },
  },
};

const asOperator = `system:serviceaccount:${release.namespace}:mailrelay-operator`;

describe('the chart on a real API server', () => {
  let server: ApiServer;
  const run = (...args: readonly string[]): Promise<string> => helm(args, { KUBECONFIG: server.kubeconfig });
  const install = ['--namespace', release.namespace, '--timeout', '30s'];
  const can = (
    who: readonly string[],
    verb: string,
    what: string,
    where: readonly string[],
  ): Promise<string> =>
    server.kubectl(['auth', 'can-i', verb, what, ...who, ...where]).then(
      text => text.trim(),
      () => 'no',
    );
  const operatorCan = (verb: string, what: string, ...where: readonly string[]): Promise<string> =>
    can([`--as=${asOperator}`], verb, what, where);

  before(async () => {
    server = await startApiServer();
    await server.kubectl(['apply', '-f', '-'], monitoringKinds.map(kind => stringify(kind)).join('---\n'));
    for (const name of [release.namespace, 'apps', 'shop', 'monitoring']) {
      await server.kubectl(['create', 'namespace', name]);
    }
    await server.kubectl([
      'label',
      'namespace',
      release.namespace,
      'pod-security.kubernetes.io/enforce=restricted',
    ]);
  });
  after(() => server.stop());

  for (const [what, args] of [
    ['default values', []],
    ['everything switched on', ['--values', fullValues]],
  ] as const) {
    test(`every object made with ${what} is accepted, with no unknown field`, async () => {
      const text = await renderText(args);
      const options = ['--dry-run=server', '--server-side', '--validate=strict'];
      const said = await server.kubectl(['apply', ...options, '-f', '-'], text);
      const objects = await render(args);
      assert.equal(said.trim().split('\n').length, objects.length, said);
    });
  }

  test('charts/install.yaml with crds/ is accepted by plain kubectl', async () => {
    const files = ['crds/', 'charts/install.yaml'].flatMap(file => ['-f', join(repository, file)]);
    await server.kubectl(['apply', '--dry-run=server', '--server-side', '--validate=strict', ...files]);
  });

  test('the operator pod meets the restricted Pod Security Standard', async () => {
    const { metadata, spec } = one(await render(['--values', fullValues]), 'Deployment')['spec'].template;
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'operator' }, spec };
    const namespaced = ['--namespace', release.namespace, '-f', '-'];
    await server.kubectl(['create', '--dry-run=server', ...namespaced], stringify(pod));
    const loose = { ...pod, spec: { ...spec, securityContext: {} } };
    await assert.rejects(
      server.kubectl(['create', '--dry-run=server', ...namespaced], stringify(loose)),
      /violates PodSecurity "restricted/,
    );
  });

  test('helm installs it, and the operator can do its work everywhere and nothing beyond', async () => {
    const said = await run('install', release.name, chart, ...install);
    assert.match(said, /rollout status deployment\/mailrelay-operator/);
    const all = '--all-namespaces';
    for (const verb of ['get', 'list', 'watch', 'patch']) {
      assert.equal(await operatorCan(verb, 'mailrelays.mailrelay.dev', all), 'yes', verb);
    }
    assert.equal(await operatorCan('patch', 'mailrelays.mailrelay.dev', '--subresource=status', all), 'yes');
    assert.equal(await operatorCan('create', 'deployments.apps', all), 'yes');
    assert.equal(await operatorCan('update', 'leases/mailrelay-operator', '-n', release.namespace), 'yes');
    const beyond: readonly (readonly [verb: string, what: string, ...where: string[]])[] = [
      ['create', 'secrets', all],
      ['delete', 'secrets', all],
      ['create', 'mailrelays.mailrelay.dev', all],
      ['delete', 'mailrelays.mailrelay.dev', all],
      ['create', 'pods', all],
      ['delete', 'pods', all],
      ['create', 'pods', '--subresource=exec', all],
      ['update', 'leases/another', '-n', release.namespace],
      ['update', 'leases/mailrelay-operator', '-n', 'apps'],
      ['create', 'clusterroles'],
      ['list', 'nodes'],
      ['*', '*', all],
    ];
    for (const [verb, what, ...where] of beyond) {
      assert.equal(await operatorCan(verb, what, ...where), 'no', `${verb} ${what}`);
    }
  });

  test('a MailRelay can be made then, and a wrong one is refused with the reason', async () => {
    await server.kubectl(['apply', '-f', '-'], stringify(minimal));
    const wrong = { ...minimal, spec: { ...minimal.spec, replicas: 2 } };
    await assert.rejects(
      server.kubectl(['apply', '-f', '-'], stringify(wrong)),
      /spec\.replicas: .* must be 0 or 1 while spool\.mode is Shared/,
    );
  });

  test('the roles view, edit and admin let people at MailRelays, and not at more', async () => {
    const [view, edit, admin] = ['view', 'edit', 'admin'].map(role => [
      `--as=${role}er`,
      `--as-group=${role}ers`,
    ]) as [string[], string[], string[]];
    for (const role of ['view', 'edit', 'admin']) {
      const name = `mailrelay-system:mailrelay-operator:${role}`;
      const binding = [
        'create',
        'rolebinding',
        role,
        `--clusterrole=${name}`,
        `--group=${role}ers`,
        '-n',
        'apps',
      ];
      await server.kubectl(binding);
    }
    const relays = 'mailrelays.mailrelay.dev';
    const apps = ['-n', 'apps'];
    assert.equal(await can(view, 'list', relays, apps), 'yes');
    assert.equal(await can(view, 'patch', relays, apps), 'no');
    assert.equal(await can(edit, 'create', relays, apps), 'yes');
    assert.equal(await can(edit, 'patch', relays, [...apps, '--subresource=scale']), 'yes');
    assert.equal(await can(edit, 'patch', relays, [...apps, '--subresource=status']), 'no');
    assert.equal(await can(admin, 'update', relays, [...apps, '--subresource=finalizers']), 'yes');
    assert.equal(await can(admin, 'get', 'secrets', apps), 'no');
  });

  test('helm upgrades it to watched namespaces alone: rights are gone elsewhere', async () => {
    const values = ['--set', 'watchNamespaces={apps}', '--set', 'replicas=2'];
    await run('upgrade', release.name, chart, ...install, ...values);
    assert.equal(await operatorCan('list', 'secrets', '-n', 'apps'), 'yes');
    assert.equal(await operatorCan('list', 'secrets', '-n', 'shop'), 'no');
    assert.equal(await operatorCan('update', 'leases/mailrelay-operator', '-n', release.namespace), 'yes');
    await server.kubectl(['get', 'poddisruptionbudget', 'mailrelay-operator', '-n', release.namespace]);
  });

  test('helm uninstalls it; the kind and its relays stay, and are taken up by the next release', async () => {
    const said = await run('uninstall', release.name, ...install);
    assert.match(said, /kept due to the resource policy/);
    assert.match(await server.kubectl(['get', 'mailrelays', '-n', 'apps']), /^mail /m);
    const left = await server.kubectl(['get', 'clusterroles,clusterrolebindings', '-o', 'name']);
    assert.doesNotMatch(left, /mailrelay/);
    await run('install', release.name, chart, ...install);
    assert.match(await server.kubectl(['get', 'mailrelays', '-n', 'apps']), /^mail /m);
  });
});
