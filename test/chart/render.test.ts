import assert from 'node:assert/strict';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { parseOptions } from '../../operator/options.ts';
import packageJson from '../../package.json' with { type: 'json' };
import {
  chart,
  fullValues,
  helm,
  names,
  one,
  type Rendered,
  render,
  renderText,
  repository,
} from './helm.ts';

const read = (path: string): string => readFileSync(path, 'utf8');
const full = ['--values', fullValues];

function containerOf(objects: readonly Rendered[]): Rendered['spec'] {
  return one(objects, 'Deployment').spec.template.spec.containers[0];
}

const namespaceYaml = `# The operator with default values, for plain kubectl: docs/kubernetes.md says how. Rendered from the chart.
apiVersion: v1
kind: Namespace
metadata:
  name: mailrelay-system
  labels:
    pod-security.kubernetes.io/enforce: restricted
`;

function sameAs(file: string, text: string): void {
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, text);
  assert.equal(text, read(file));
}

describe('the chart', () => {
  test('passes helm lint with default values and with everything switched on', async () => {
    for (const values of [[], full]) {
      await helm(['lint', '--strict', '--kube-version', '1.34.0', chart, ...values]);
    }
  });

  test('is for the version of the programs that is in package.json', () => {
    assert.equal(parse(read(join(chart, 'Chart.yaml'))).appVersion, packageJson.version);
  });

  test('renders full values as in golden/full.yaml (UPDATE_GOLDEN=1 writes it)', async () => {
    const text = await renderText([...full, '--set', 'crds.install=false']);
    sameAs(
      join(import.meta.dirname, 'golden/full.yaml'),
      text.replace(/(mailrelay\.json: \|-\n)(?: {4}.*\n)+/, '$1    …\n'),
    );
  });

  test('renders default values as in charts/install.yaml, for kubectl alone (UPDATE_GOLDEN=1 writes it)', async () => {
    const text = await renderText(['--set', 'crds.install=false']);
    sameAs(
      join(repository, 'charts/install.yaml'),
      namespaceYaml + text.replace(/^ +(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, ''),
    );
  });

  test('brings the CRD as crds/ has it, to be kept on uninstall', async () => {
    const crd = one(await render(), 'CustomResourceDefinition');
    const source = parse(read(join(repository, 'crds/mailrelay.dev_mailrelays.yaml')));
    assert.deepEqual(crd['spec'], source.spec);
    assert.equal(crd.metadata.name, source.metadata.name);
    assert.equal(crd.metadata.annotations?.['helm.sh/resource-policy'], 'keep');
    const loose = one(await render(['--set', 'crds.keep=false']), 'CustomResourceDefinition');
    assert.equal(loose.metadata.annotations, undefined);
  });

  test('leaves the CRD to others when crds.install is false', async () => {
    const objects = await render(['--set', 'crds.install=false']);
    assert.ok(!objects.some(({ kind }) => kind === 'CustomResourceDefinition'));
  });

  test('gives the operator flags that it knows', async () => {
    const args: string[] = containerOf(await render(full)).args;
    const options = parseOptions(
      args.map(arg => arg.replace('$(POD_NAMESPACE)', 'mailrelay-system')),
      {},
    );
    const { leaderElectionNamespace, watchNamespaces, selector, relayImage, runbooks } = options;
    assert.deepEqual(
      { leaderElectionNamespace, watchNamespaces, selector, relayImage, runbooks },
      {
        leaderElectionNamespace: 'mailrelay-system',
        watchNamespaces: ['apps', 'shop'],
        selector: 'tier in (gold,silver)',
        relayImage: 'registry.example.com/mail/mailrelay:0.1.1',
        runbooks: 'https://example.com/runbooks',
      },
    );
    assert.equal(options.healthPort, containerOf(await render()).ports[0].containerPort);
  });

  test('lets a further label or annotation go before a common one of the same name', async () => {
    const objects = await render([
      ...full,
      ...['--set', 'commonLabels.release=common,podLabels.release=pod,serviceMonitor.labels.release=prom'],
      ...['--set', 'commonLabels.grafana_dashboard=common,prometheusRule.labels=null,podLabels.a=null'],
      ...['--set', 'podAnnotations.kubectl\\.kubernetes\\.io/default-container=mine'],
    ]);
    const release = ({ metadata }: Rendered): string | undefined => metadata.labels?.['release'];
    const { template } = one(objects, 'Deployment')['spec'];
    assert.deepEqual(
      [
        template,
        one(objects, 'Deployment'),
        one(objects, 'ServiceMonitor'),
        one(objects, 'PrometheusRule'),
      ].map(release),
      ['pod', 'common', 'prom', 'common'],
    );
    const dashboard = one(objects, 'ConfigMap', '-dashboard').metadata;
    assert.equal(dashboard.labels?.['grafana_dashboard'], '1');
    assert.equal(template.metadata.annotations['kubectl.kubernetes.io/default-container'], 'mine');
  });

  test('lets the operator read and change no lease but its own', async () => {
    const { rules } = one(await render(['--set', 'fullnameOverride=mine']), 'Role');
    const allowed = rules.map(({ resourceNames, verbs }: Rendered) => [resourceNames, verbs]);
    assert.deepEqual(allowed, [
      [['mine'], ['get', 'update']],
      [undefined, ['create']],
    ]);
  });

  test('takes the image of relays from the operator unless another one is named', async () => {
    const relayImage = async (...sets: string[]): Promise<string> => {
      const args: string[] = containerOf(await render(sets.flatMap(set => ['--set', set]))).args;
      return args.find(arg => arg.startsWith('--relay-image='))?.slice('--relay-image='.length) ?? '';
    };
    const { version } = packageJson;
    assert.equal(await relayImage(), `localhost/mailrelay:${version}`);
    assert.equal(await relayImage('image.repository=a/b', 'image.tag=v7'), 'a/b:v7');
    assert.equal(await relayImage('image.tag=v7', 'relayImage.repository=c/d'), 'c/d:v7');
    assert.equal(await relayImage('image.tag=v7', 'relayImage.tag=v8'), 'localhost/mailrelay:v8');
    const digest = `sha256:${'a'.repeat(64)}`;
    assert.equal(await relayImage(`relayImage.digest=${digest}`), `localhost/mailrelay@${digest}`);
  });

  test('gives rights everywhere, or in the watched namespaces alone', async () => {
    const bindings = (objects: readonly Rendered[]): readonly string[] =>
      objects
        .filter(({ kind, metadata }) => kind.endsWith('Binding') && !metadata.name.endsWith('election'))
        .map(({ kind, metadata }) => `${kind} in ${metadata.namespace ?? 'all'}`);
    assert.deepEqual(bindings(await render()), ['ClusterRoleBinding in all']);
    assert.deepEqual(bindings(await render(full)), ['RoleBinding in apps', 'RoleBinding in shop']);
  });

  test('makes a disruption budget when there are replicas to spare', async () => {
    const has = async (replicas: number): Promise<boolean> =>
      names(await render(['--set', `replicas=${replicas}`])).includes(
        'PodDisruptionBudget mailrelay-operator',
      );
    assert.deepEqual([await has(1), await has(2)], [false, true]);
  });

  test('names everything so that a relay named as the release does not collide with it', async () => {
    for (const [releaseName, expected] of [
      ['mailrelay', 'mailrelay-operator'],
      ['mail', 'mail-mailrelay-operator'],
      ['mail-operator', 'mail-operator'],
      ['x'.repeat(53), `${'x'.repeat(41)}-operator`],
    ] as const) {
      const text = await helm(['template', releaseName, chart, '--kube-version', '1.34.0']);
      assert.match(text, new RegExp(`kind: Deployment\nmetadata:\n  name: ${expected}\n`));
    }
  });

  test('renders the alerts that rest on the operator alone unless those on relays are asked for', async () => {
    const groups = async (...sets: string[]): Promise<string[]> => {
      const args = ['prometheusRule.enabled=true', ...sets].flatMap(set => ['--set', set]);
      return one(await render(args), 'PrometheusRule').spec.groups.map(({ name }: { name: string }) => name);
    };
    const inFolder = (folder: string): string[] =>
      globSync(join(chart, `alerts/${folder}/*.yaml`)).map(file => basename(file, '.yaml'));
    const ofOperator = inFolder('operator').sort();
    assert.deepEqual(await groups(), ofOperator);
    assert.deepEqual(await groups('prometheusRule.relays=true'), [
      ...ofOperator,
      ...inFolder('relays').sort(),
    ]);
  });

  test('hands the dashboard to Grafana byte for byte', async () => {
    const objects = await render(['--set', 'dashboard.enabled=true']);
    const { data, metadata } = one(objects, 'ConfigMap', '-dashboard');
    assert.deepEqual(
      JSON.parse(data['mailrelay.json']),
      JSON.parse(read(join(chart, 'dashboards/mailrelay.json'))),
    );
    assert.equal(metadata.labels?.['grafana_dashboard'], '1');
  });
});
