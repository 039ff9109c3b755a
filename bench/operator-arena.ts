/**
 * Where the operator is measured: an API server with etcd and no controllers,
 * MailRelays in one namespace, operators as processes of their own from the
 * bundle as it goes into the image. Nothing outlives the benchmark.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type MailRelayObject, mailRelays } from '../operator/api/mail-relay.ts';
import type { MailRelaySpecInput } from '../operator/api/schema.ts';
import { createClient } from '../operator/kube/client.ts';
import { type Condition, findCondition } from '../operator/kube/conditions.ts';
import { loadConnection } from '../operator/kube/connection.ts';
import type { KubeObject } from '../operator/kube/object.ts';
import { defineResource, type KubeClient } from '../operator/kube/resource.ts';
import { createTransport, type Transport } from '../operator/kube/transport.ts';
import { secrets } from '../operator/reconcile/secret-facts.ts';
import packageJson from '../package.json' with { type: 'json' };
import { type ApiServer, startApiServer } from '../test/cluster/api-server.ts';
import { command, type Service, startService } from '../test/cluster/process.ts';
import { waitUntil } from '../test/kube/wait-until.ts';
import { AuditLog } from '../test/operator/audit.ts';

const root = join(import.meta.dirname, '..');
const nodeFlags = packageJson.scripts['start:operator'].split(' ').filter(word => word.startsWith('--'));
/** Of the MailRelays that operators look after; the baseline writes elsewhere. */
export const namespace = 'bench';
export const baselineNamespace = 'baseline';

const cluster = (kind: string, plural: string, apiVersion: string) =>
  defineResource<KubeObject>({ apiVersion, kind, plural, namespaced: false });
const namespaces = cluster('Namespace', 'namespaces', 'v1');
const definitions = cluster(
  'CustomResourceDefinition',
  'customresourcedefinitions',
  'apiextensions.k8s.io/v1',
);

/** Three providers and every child that is made without the Prometheus operator, no pods. */
export const spec: MailRelaySpecInput = {
  forwardProviders: [
    { name: 'primary', host: 'smtp.primary.com', port: 587, secretRef: { name: 'primary-smtp' } },
    { name: 'backup', host: 'smtp.backup.com', port: 587, secretRef: { name: 'backup-smtp' } },
    {
      name: 'emergency',
      host: 'smtp.emergency.com',
      port: 465,
      ssl: true,
      secretRef: { name: 'emergency-smtp' },
    },
  ],
  replicas: 0,
  networkPolicy: { enabled: true },
};

export class Arena {
  readonly server: ApiServer;
  readonly audit: AuditLog;
  readonly client: KubeClient;
  readonly #transport: Transport;
  readonly #operators: Service[] = [];

  private constructor(server: ApiServer, audit: AuditLog, transport: Transport) {
    this.server = server;
    this.audit = audit;
    this.#transport = transport;
    this.client = createClient(transport);
  }

  static async open(): Promise<Arena> {
    const audit = await AuditLog.make();
    // Its own protection against too many requests would be what is measured.
    const flags = [...audit.flags, '--max-requests-inflight=1000', '--max-mutating-requests-inflight=500'];
    const server = await startApiServer({ flags });
    const connection = await loadConnection({ kubeconfig: server.kubeconfig, env: {} });
    const arena = new Arena(server, audit, createTransport({ connection, userAgent: 'bench/1' }));
    await arena.#furnish();
    await mkdir(join(server.directory, 'program'));
    await command([process.execPath, join(root, 'bundle.ts'), join(server.directory, 'program')]);
    return arena;
  }

  async #furnish(): Promise<void> {
    const crd = parse(await readFile(join(root, 'crds/mailrelay.dev_mailrelays.yaml'), 'utf8')) as KubeObject;
    await this.client.create(definitions, crd);
    await waitUntil('the CRD is served', async () => {
      const { status } = (await this.client.get(definitions, crd.metadata)) as {
        status?: { conditions: Condition[] };
      };
      return findCondition(status?.conditions, 'Established')?.status === 'True';
    });
    for (const name of [namespace, baselineNamespace]) {
      await this.client.create(namespaces, { metadata: { name } });
      for (const secret of ['primary-smtp', 'backup-smtp', 'emergency-smtp']) {
        const data = { username: btoa('user'), password: btoa('password') };
        await this.client.create(secrets, { metadata: { name: secret, namespace: name }, data });
      }
    }
  }

  /** Creates `count` MailRelays. */
  createRelays(where: string, count: number): Promise<MailRelayObject[]> {
    return inParallel(count, 32, at =>
      this.client.create(mailRelays, { metadata: { name: relayName(at), namespace: where }, spec }),
    );
  }

  /** Starts an operator; does not wait for it. */
  async startOperator(): Promise<OperatorProcess> {
    const port = await freePort();
    const name = `operator-${this.#operators.length + 1}`;
    const service = await startService(
      name,
      [
        ...[process.execPath, ...nodeFlags, join(this.server.directory, 'program/operator.js')],
        ...[
          '--kubeconfig',
          this.server.kubeconfig,
          '--relay-image',
          'relay:1',
          '--watch-namespaces',
          namespace,
        ],
        ...['--health-host', '127.0.0.1', '--health-port', String(port)],
      ],
      join(this.server.directory, `${name}.log`),
    );
    this.#operators.push(service);
    return new OperatorProcess(service, port, join(this.server.directory, `${name}.log`));
  }

  /** Ends the operators that still run, too: they would look for the API server for ever. */
  async close(): Promise<void> {
    await Promise.all(this.#operators.map(operator => operator.stop('SIGTERM')));
    await this.#transport.close();
    await this.server.stop();
    await this.audit.remove();
  }
}

export class OperatorProcess {
  readonly service: Service;
  readonly #port: number;
  readonly #log: string;

  constructor(service: Service, port: number, log: string) {
    this.service = service;
    this.#port = port;
    this.#log = log;
  }

  /** Sum of a metric over its labels. 0 while it does not answer. */
  async metric(name: string): Promise<number> {
    return (await this.metrics([name]))[0]!;
  }

  /** The same of several, as they were at one time: each scrape costs the operator some milliseconds. */
  async metrics(names: readonly string[]): Promise<number[]> {
    const text = await fetch(`http://127.0.0.1:${this.#port}/metrics`).then(
      response => response.text(),
      () => '',
    );
    const lines = text.split('\n');
    return names.map(name =>
      lines
        .filter(line => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
        .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0),
    );
  }

  leads(): boolean {
    return /"leading"/.test(readFileSync(this.#log, 'utf8'));
  }

  rssMiB(): number {
    const status = readFileSync(`/proc/${this.service.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
  }

  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.service.pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  }

  descriptors(): number {
    return readdirSync(`/proc/${this.service.pid}/fd`).length;
  }
}

export function relayName(at: number): string {
  return `mail-${at}`;
}

/** Calls `run` for 0 … count - 1, at most `width` at a time. */
export async function inParallel<T>(
  count: number,
  width: number,
  run: (at: number) => Promise<T>,
): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let at = next++; at < count; at = next++) results[at] = await run(at);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
