/**
 * A real Prometheus beside the cluster that reads relay pods as a ServiceMonitor
 * tells it to, every second, and evaluates alerts with their waiting times made
 * short: the chart's, or those that the operator made for one MailRelay.
 */
import { once } from 'node:events';
import { glob, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Cluster } from '../cluster/cluster.ts';
import { logTail, startService } from '../cluster/process.ts';

const chart = join(import.meta.dirname, '../../charts/mailrelay');

/** One series of an instant query. */
export type Sample = { readonly metric: Readonly<Record<string, string>>; readonly value: number };

export type Prometheus = {
  /** An instant query. Rejects when Prometheus refuses it. */
  query(expression: string): Promise<readonly Sample[]>;
  /** Names of the alerts that fire now. */
  firing(): Promise<ReadonlySet<string>>;
  stop(): Promise<void>;
};

/** Whose rules are evaluated: those of the chart for all relays, or those in the namespace's PrometheusRules. */
export type Rules = 'of the chart' | 'of the MailRelay';

/** Starts it for the relays of one namespace; resolves when it answers. */
export async function startPrometheus(
  cluster: Cluster,
  namespace: string,
  rules: Rules = 'of the chart',
): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-prometheus-'));
  const port = await freePort();
  const log = join(directory, 'log');
  await mkdir(join(directory, 'rules'));
  for (const groups of rules === 'of the chart' ? await chartRules() : await relayRules(cluster, namespace)) {
    const text = JSON.stringify({ groups }, (key, value) => (key === 'for' ? '1s' : value));
    await writeFile(join(directory, 'rules', `${crypto.randomUUID()}.yaml`), text);
  }
  await writeFile(
    join(directory, 'prometheus.yml'),
    JSON.stringify(await configuration(cluster, namespace, directory)),
  );
  const service = await startService(
    'prometheus',
    [
      'prometheus',
      `--config.file=${join(directory, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(directory, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    log,
  );
  const stop = async (): Promise<void> => {
    await service.stop();
    await rm(directory, { recursive: true });
  };
  const base = `http://127.0.0.1:${port}`;
  await Promise.race([answers(`${base}/-/ready`), service.failed]).catch(async (error: unknown) => {
    const tail = await logTail(log);
    await stop();
    throw new Error(`Prometheus did not start:\n${tail}`, { cause: error });
  });
  const query = (expression: string): Promise<readonly Sample[]> => ask(base, expression);
  const firing = async (): Promise<ReadonlySet<string>> => {
    const samples = await query('ALERTS{alertstate="firing"}');
    return new Set(samples.map(({ metric }) => metric['alertname'] ?? ''));
  };
  return { query, firing, stop };
}

async function chartRules(): Promise<readonly unknown[]> {
  const files = await Array.fromAsync(glob(join(chart, 'alerts/*/*.yaml')));
  const texts = await Promise.all(files.map(file => readFile(file, 'utf8')));
  return texts.map(text => parse(text).groups);
}

async function relayRules(cluster: Cluster, namespace: string): Promise<readonly unknown[]> {
  const text = await cluster.kubectl(['-n', namespace, 'get', 'prometheusrules', '-o', 'json']);
  const { items } = JSON.parse(text) as { items: readonly { spec: { groups: unknown } }[] };
  if (items.length === 0) throw new Error(`no PrometheusRule in ${namespace}`);
  return items.map(({ spec }) => spec.groups);
}

type Slices = {
  readonly items: readonly {
    readonly metadata: { readonly labels: Readonly<Record<string, string>> };
    readonly ports: readonly { readonly name: string; readonly port: number }[];
    readonly endpoints:
      | readonly { readonly addresses: readonly string[]; readonly targetRef: { readonly name: string } }[]
      | null;
  }[];
};

/** What the relay's ServiceMonitor leads to: the ports `http` behind its Service, with the same labels. */
async function configuration(cluster: Cluster, namespace: string, directory: string): Promise<object> {
  const selector = 'mailrelay.dev/service=pods';
  const text = await cluster.kubectl([
    '-n',
    namespace,
    'get',
    'endpointslices',
    '-l',
    selector,
    '-o',
    'json',
  ]);
  const targets = (JSON.parse(text) as Slices).items.flatMap(({ metadata, ports, endpoints }) => {
    const service = metadata.labels['kubernetes.io/service-name'] ?? '';
    const { port } = ports.find(({ name }) => name === 'http') ?? { port: 0 };
    return (endpoints ?? []).map(({ addresses: [address], targetRef: { name: pod } }) => ({
      targets: [`${address}:${port}`],
      labels: { namespace, service, pod },
    }));
  });
  return {
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    rule_files: [join(directory, 'rules', '*.yaml')],
    scrape_configs: [{ job_name: 'relays', static_configs: targets }],
  };
}

async function ask(base: string, expression: string): Promise<readonly Sample[]> {
  const response = await fetch(`${base}/api/v1/query`, {
    method: 'POST',
    body: new URLSearchParams({ query: expression }),
  });
  const answer = (await response.json()) as {
    status: string;
    error?: string;
    data: { result: readonly { metric: Record<string, string>; value: [number, string] }[] };
  };
  if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`);
  return answer.data.result.map(({ metric, value }) => ({ metric, value: Number(value[1]) }));
}

async function answers(url: string): Promise<void> {
  for (let tries = 0; ; tries += 1) {
    const isReady = await fetch(url).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    if (tries > 200) throw new Error(`${url} does not answer`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

type Panel = {
  readonly title?: string;
  readonly targets?: readonly { readonly expr?: string }[];
  readonly panels?: readonly Panel[];
};

/** Every query of the chart's dashboards as Grafana sends it, with everything selected and 15 s for a rate. */
export async function dashboardQueries(): Promise<
  readonly { readonly title: string; readonly query: string }[]
> {
  const files = await readdir(join(chart, 'dashboards'));
  const texts = await Promise.all(files.map(file => readFile(join(chart, 'dashboards', file), 'utf8')));
  const panels = (list: readonly Panel[]): readonly Panel[] =>
    list.flatMap(panel => [panel, ...panels(panel.panels ?? [])]);
  return texts
    .flatMap(text => panels((JSON.parse(text) as { panels: Panel[] }).panels))
    .flatMap(({ title = '', targets = [] }) =>
      targets.map(({ expr = '' }) => ({ title, query: filled(expr) })),
    );
}

function filled(expression: string): string {
  return expression
    .replaceAll('$__rate_interval', '15s')
    .replaceAll('$__range', '5m')
    .replaceAll('$__interval', '5s')
    .replace(/\$\{?\w+\}?/g, '.*');
}
