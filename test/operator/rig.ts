/**
 * Operators on a real API server: no controllers and no kubelets, so that
 * every write is the operator's or the test's. Pods are made by the test; what
 * they answer at /status is told here. The audit log says who wrote what.
 */
import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type MailRelayObject, mailRelays } from '../../operator/api/mail-relay.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import { createClient } from '../../operator/kube/client.ts';
import { type Condition, findCondition } from '../../operator/kube/conditions.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import { events } from '../../operator/kube/event-wire.ts';
import type { KubeObject, ObjectMeta } from '../../operator/kube/object.ts';
import { defineResource, type KubeClient, type Resource } from '../../operator/kube/resource.ts';
import { createTransport, type Transport } from '../../operator/kube/transport.ts';
import { Operator } from '../../operator/operator.ts';
import { parseOptions } from '../../operator/options.ts';
import { type Pod, pods } from '../../operator/reconcile/caches.ts';
import type { RelayStatus } from '../../operator/reconcile/relay-status.ts';
import { type Secret, secrets } from '../../operator/reconcile/secret-facts.ts';
import { type PersistentVolumeClaim, persistentVolumeClaims } from '../../operator/resources/kinds.ts';
import { childLabels, selectorLabels } from '../../operator/resources/names.ts';
import { type ApiServer, type ApiServerOptions, startApiServer } from '../cluster/api-server.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { AuditLog, operatorWrites } from './audit.ts';

const repository = join(import.meta.dirname, '../..');

interface CustomResourceDefinition extends KubeObject {
  readonly status?: { readonly conditions?: readonly Condition[] };
}

const definitions = defineResource<CustomResourceDefinition>({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  namespaced: false,
});
const namespaces = defineResource<KubeObject>({
  apiVersion: 'v1',
  kind: 'Namespace',
  plural: 'namespaces',
  namespaced: false,
});

export class Rig {
  readonly server: ApiServer;
  readonly audit: AuditLog;
  /** As the administrator. */
  readonly client: KubeClient;
  /** What a pod at that address answers; without an entry it cannot be reached. */
  readonly answers = new Map<string, RelayStatus>();
  /** As often as a pod was asked. */
  asked = 0;
  readonly #transport: Transport;
  readonly #operators = new Set<Operator>();
  #addresses = 0;

  private constructor(server: ApiServer, audit: AuditLog, transport: Transport) {
    this.server = server;
    this.audit = audit;
    this.#transport = transport;
    this.client = createClient(transport);
  }

  /** An API server that knows MailRelays. */
  static async start(options: ApiServerOptions = {}): Promise<Rig> {
    const audit = await AuditLog.make();
    const server = await startApiServer({ ...options, flags: [...audit.flags, ...(options.flags ?? [])] });
    const connection = await loadConnection({ kubeconfig: server.kubeconfig, env: {} });
    const rig = new Rig(server, audit, createTransport({ connection, userAgent: 'test/1' }));
    const crd = await readFile(join(repository, 'crds/mailrelay.dev_mailrelays.yaml'), 'utf8');
    await rig.define(parse(crd) as KubeObject);
    return rig;
  }

  /** Creates a CRD and waits until the API server serves it. */
  async define(definition: KubeObject): Promise<void> {
    const { metadata } = await this.client.create(definitions, definition as CustomResourceDefinition);
    await waitUntil(`${metadata.name} is served`, async () => {
      const { status } = await this.client.get(definitions, metadata);
      return findCondition(status?.conditions, 'Established')?.status === 'True';
    });
  }

  /** Does what the CRD's rules forbid, and brings them back. Tries until the API server has heard of it. */
  async withoutRules(run: () => Promise<unknown>): Promise<void> {
    const ref = { name: 'mailrelays.mailrelay.dev' };
    const withRules = (await this.client.get(definitions, ref)) as KubeObject & { spec: unknown };
    const bare = JSON.stringify(withRules.spec, (key, value: unknown) =>
      key === 'x-kubernetes-validations' ? undefined : value,
    );
    await this.client.replace(definitions, { ...withRules, spec: JSON.parse(bare) } as KubeObject);
    try {
      await waitUntil('it is accepted', () =>
        run().then(
          () => true,
          () => false,
        ),
      );
    } finally {
      await this.client.apply(definitions, { metadata: ref, spec: withRules.spec } as KubeObject, {
        fieldManager: 'test',
      });
    }
  }

  /** An operator in this process, with these flags added. Resolves when its caches are synced. */
  async operator(flags: readonly string[] = ['--no-leader-elect']): Promise<Operator> {
    const options = parseOptions(
      [
        ...['--kubeconfig', this.server.kubeconfig, '--relay-image', 'relay.example.com/mailrelay:1'],
        ...['--health-host', '127.0.0.1', '--health-port', '0', '--log-level', 'error', ...flags],
      ],
      {},
    );
    const operator = await Operator.start(options, ip => this.#ask(ip));
    this.#operators.add(operator);
    return operator;
  }

  async stopOperator(operator: Operator): Promise<void> {
    this.#operators.delete(operator);
    await operator.stop();
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#operators].map(operator => operator.stop()));
    await this.#transport.close();
    await this.server.stop();
    await this.audit.remove();
  }

  async namespace(name: string): Promise<string> {
    await this.client.create(namespaces, { metadata: { name } });
    return name;
  }

  createRelay(
    namespace: string,
    spec: MailRelaySpecInput,
    metadata: Partial<ObjectMeta> = {},
  ): Promise<MailRelayObject> {
    return this.client.create(mailRelays, { metadata: { name: 'mail', namespace, ...metadata }, spec });
  }

  relay(namespace: string, name = 'mail'): Promise<MailRelayObject> {
    return this.client.get(mailRelays, { name, namespace });
  }

  patchRelay(namespace: string, spec: object, name = 'mail'): Promise<MailRelayObject> {
    return this.client.mergePatch(mailRelays, { name, namespace }, { spec });
  }

  createSecret(namespace: string, name: string, data: Record<string, string>): Promise<Secret> {
    const encoded = Object.entries(data).map(([key, value]) => [key, btoa(value)]);
    return this.client.create(secrets, { metadata: { name, namespace }, data: Object.fromEntries(encoded) });
  }

  /** A pod of the relay that runs and answers with `status`. Resolves with its address. */
  async createPod(namespace: string, name: string, status?: RelayStatus, relay = 'mail'): Promise<string> {
    const podIP = `10.0.${Math.floor(++this.#addresses / 250)}.${(this.#addresses % 250) + 1}`;
    if (status !== undefined) this.answers.set(podIP, status);
    const owner = /-[0-9]+$/.test(name)
      ? { kind: 'StatefulSet', name: relay }
      : { kind: 'ReplicaSet', name: `${relay}-6b7f8c9d` };
    const ownerReferences = [{ apiVersion: 'apps/v1', ...owner, uid: randomUUID(), controller: true }];
    const metadata = { name, namespace, labels: selectorLabels({ name: relay }), ownerReferences };
    const spec = { containers: [{ name: 'relay', image: 'relay' }] };
    await this.client.create(pods, { metadata, spec } as Pod);
    await this.client.mergePatch(
      pods,
      { name, namespace },
      { status: { phase: 'Running', podIP } },
      { subresource: 'status' },
    );
    return podIP;
  }

  /** Makes a claim what a cluster with storage makes of it at once. Resolves with it. */
  async bind(namespace: string, name = 'mail-spool'): Promise<PersistentVolumeClaim> {
    const ref = { name, namespace };
    await this.waitFor(persistentVolumeClaims, ref);
    const status = { phase: 'Bound' };
    return this.client.mergePatch(persistentVolumeClaims, ref, { status }, { subresource: 'status' });
  }

  /** A bound claim that the StatefulSet controller, or the operator, has made for a relay of that name. */
  async createClaim(
    namespace: string,
    name: string,
    texts: Record<string, string> = {},
    storageClassName?: string,
  ): Promise<PersistentVolumeClaim> {
    const labels = childLabels({ name: 'mail' });
    const classed = storageClassName === undefined ? {} : { storageClassName };
    await this.client.create(persistentVolumeClaims, {
      metadata: { name, namespace, labels, annotations: texts },
      spec: { ...claimSpec, ...classed },
    });
    return this.bind(namespace, name);
  }

  /** The notes of the events of a MailRelay with that reason, once there is one. */
  async waitForEvent(namespace: string, reason: string): Promise<string> {
    let notes: string[] = [];
    await waitUntil(`there is an event ${reason} in ${namespace}`, async () => {
      const { items } = await this.client.list(events, { namespace });
      const told = items as unknown as readonly { readonly reason: string; readonly note: string }[];
      notes = told.filter(event => event.reason === reason).map(({ note }) => note);
      return notes.length > 0;
    });
    return notes.join('; ');
  }

  async condition(namespace: string, type: string, name = 'mail'): Promise<Condition | undefined> {
    const { status } = await this.relay(namespace, name);
    return findCondition(status?.conditions as Condition[] | undefined, type);
  }

  /** Waits until the condition has that reason; resolves with it. */
  async waitForReason(namespace: string, type: string, reason: string, name = 'mail'): Promise<Condition> {
    let last: Condition | undefined;
    await waitUntil(`${type} of ${namespace}/${name} says ${reason}`, async () => {
      last = await this.condition(namespace, type, name);
      return last?.reason === reason;
    }).catch(error => {
      throw new Error(`${(error as Error).message}; it says ${JSON.stringify(last)}`);
    });
    return last!;
  }

  /** Waits until the object is there and `holds` of it; resolves with it. */
  async waitFor<T extends KubeObject>(
    resource: Resource<T>,
    ref: { readonly namespace: string; readonly name: string },
    holds: (object: T) => boolean = () => true,
  ): Promise<T> {
    let last: T | undefined;
    await waitUntil(`${resource.kind} ${ref.namespace}/${ref.name} is as wanted`, async () => {
      last = await this.client.find(resource, ref);
      return last !== undefined && holds(last);
    });
    return last!;
  }

  /** What operators write until they have written nothing for a while. */
  async settled(mark: number, quietMs = 700): Promise<string[]> {
    let writes = operatorWrites(await this.audit.since(mark));
    for (let before = -1; writes.length !== before; ) {
      before = writes.length;
      await new Promise(resolve => setTimeout(resolve, quietMs));
      writes = operatorWrites(await this.audit.since(mark));
    }
    return writes;
  }

  #ask(ip: string): Promise<RelayStatus> {
    this.asked += 1;
    const status = this.answers.get(ip);
    return status === undefined
      ? Promise.reject(new Error('connect ECONNREFUSED'))
      : Promise.resolve(structuredClone(status));
  }
}

/** What claims of the tests ask for. */
export const claimSpec = { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '1Gi' } } };

/** What has that name; by default the MailRelay of most tests, and what is named after it. */
export function ref(namespace: string, name = 'mail'): { name: string; namespace: string } {
  return { name, namespace };
}

/** What a healthy relay answers whose providers are all usable; the first is active. */
export function relayStatus(fingerprint: string, more: Partial<RelayStatus> = {}): RelayStatus {
  const none = { messages: 0, bytes: 0 };
  const since = '2026-01-01T00:00:00.000Z';
  return {
    version: '1',
    ready: true,
    draining: false,
    fingerprint,
    providers: [
      { name: 'primary', state: 'active', since, reason: '', message: '' },
      { name: 'backup', state: 'standby', since, reason: '', message: '' },
    ],
    queue: { active: none, failed: none, held: none, dead: none },
    quarantine: { files: 0 },
    disk: { freeBytes: 1e9, reserveBytes: 1e6, low: false },
    ...more,
  };
}

/** Two providers, each with its Secret. */
export const twoProviders: MailRelaySpecInput = {
  forwardProviders: [
    { name: 'primary', host: 'smtp.primary.com', port: 587, secretRef: { name: 'primary-smtp' } },
    { name: 'backup', host: 'smtp.backup.com', port: 587, secretRef: { name: 'backup-smtp' } },
  ],
};

/** Needs no Secret. */
export const openProvider: MailRelaySpecInput = {
  forwardProviders: [{ name: 'primary', host: 'smtp.primary.com', port: 25 }],
};
