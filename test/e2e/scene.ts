/**
 * One end-to-end test's stage: a namespace, three scripted providers, a
 * MailRelay in front of them, and the account of its mail. On failure it says
 * what the cluster looks like; in the end it removes everything.
 */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { MailRelayStatus, ProviderState } from '../../operator/api/schema-status.ts';
import { fetchRelayStatus, type RelayStatus } from '../../operator/reconcile/relay-status.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { diagnosis } from './diagnosis.ts';
import { Mailbag } from './mailbag.ts';
import {
  authoritySecretManifest,
  credentialSecret,
  providerSpec,
  startUpstreams,
  type UpstreamName,
  type Upstreams,
  upstreamNames,
} from './upstreams.ts';

type Json = Record<string, unknown>;

/** What kubectl gives of any object. */
export type KubeObject = {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec: Json;
  readonly status?: Json;
};

export type Pod = {
  readonly name: string;
  readonly uid: string;
  readonly ip: string;
  readonly ready: boolean;
  readonly restarts: number;
};

export type SceneOptions = {
  /** Further fields of spec. */
  readonly spec?: Json;
  /** Volumes to make. Default 1. */
  readonly volumes?: number;
  /** Providers whose Secret is not made. */
  readonly withoutSecret?: readonly UpstreamName[];
  /** The act reaches everything through kubectl: it can be played on any cluster whose pods reach this process. */
  readonly fromOutside?: true;
};

/** Tries and resends in quick succession, so that nothing is waited for long. */
const quick = {
  retry: { attempts: 3, initialDelayMilliseconds: 50, patienceSeconds: 15 },
  resend: { initialDelaySeconds: 1, maxDelaySeconds: 3 },
  spool: { size: '1Gi' },
};

const relayPods = 'app.kubernetes.io/name=mailrelay,app.kubernetes.io/component=relay';

/** Plays a scene and cleans up after it, whatever happened. */
export async function play(
  test: TestContext,
  cluster: Cluster,
  options: SceneOptions,
  act: (scene: Scene) => Promise<void>,
): Promise<void> {
  if (!options.fromOutside && !cluster.isInside)
    return test.skip('this process is outside the network of the cluster');
  if (cluster.hostAddress === undefined)
    return test.skip('pods cannot reach this process: MAILRELAY_TEST_HOST_ADDRESS');
  const namespace = `e2e-${crypto.randomUUID().slice(0, 8)}`;
  const upstreams = await startUpstreams(cluster);
  const scene = new Scene(cluster, namespace, upstreams);
  try {
    await scene.set(options);
    await act(scene);
  } catch (error) {
    test.diagnostic(await diagnosis(cluster, namespace));
    throw error;
  } finally {
    await scene.strike();
  }
}

export class Scene {
  readonly cluster: Cluster;
  readonly namespace: string;
  readonly upstreams: Upstreams;
  readonly mail: Mailbag;
  #spec: Json = {};

  constructor(cluster: Cluster, namespace: string, upstreams: Upstreams) {
    this.cluster = cluster;
    this.namespace = namespace;
    this.upstreams = upstreams;
    this.mail = new Mailbag(Object.values(upstreams));
  }

  /** Namespace, Secrets, volumes and the MailRelay `mail`, by kubectl apply. */
  async set({ spec = {}, volumes = 1, withoutSecret = [] }: SceneOptions): Promise<void> {
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await this.cluster.apply({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: this.namespace, labels },
    });
    await this.cluster.makeVolumes(volumes);
    const secrets = upstreamNames
      .filter(name => !withoutSecret.includes(name))
      .map(name => credentialSecret(name));
    const forwardProviders = upstreamNames.map(name =>
      providerSpec(name, this.upstreams[name], this.cluster.sort === 'own'),
    );
    this.#spec = { ...quick, forwardProviders, ...spec };
    await this.apply(authoritySecretManifest(), ...secrets, this.#manifest());
  }

  #manifest(): object {
    return {
      apiVersion: 'mailrelay.dev/v1alpha1',
      kind: 'MailRelay',
      metadata: { name: 'mail' },
      spec: this.#spec,
    };
  }

  /** Applies objects in the scene's namespace. */
  async apply(...objects: readonly object[]): Promise<void> {
    const input = objects.map(one => JSON.stringify(one)).join('\n');
    await this.kubectl(['apply', '-f', '-'], input);
  }

  /** Changes fields of spec, by kubectl apply of the whole. */
  async change(spec: Json): Promise<void> {
    this.#spec = { ...this.#spec, ...spec };
    await this.apply(this.#manifest());
  }

  kubectl(args: readonly string[], input?: string): Promise<string> {
    return this.cluster.kubectl(
      ['--namespace', this.namespace, ...args],
      input === undefined ? {} : { input },
    );
  }

  async get<T = KubeObject>(what: string): Promise<T | undefined> {
    const text = await this.kubectl(['get', what, '--ignore-not-found', '-o', 'json']);
    return text.trim() === '' ? undefined : JSON.parse(text);
  }

  async list(kinds: string, selector?: string): Promise<readonly KubeObject[]> {
    const labels = selector === undefined ? [] : ['-l', selector];
    return JSON.parse(await this.kubectl(['get', kinds, ...labels, '-o', 'json'])).items;
  }

  async status(): Promise<MailRelayStatus> {
    return (await this.get<{ status?: MailRelayStatus }>('mailrelay/mail'))?.status ?? {};
  }

  /** Relay pods that are not on their way out, by name. */
  async pods(): Promise<readonly Pod[]> {
    const items = await this.list('pods', relayPods);
    return items
      .filter(({ metadata }) => metadata.deletionTimestamp === undefined)
      .map(podOf)
      .sort((a, b) => a.name.localeCompare(b.name));
  }

  /** The first relay pod. */
  async pod(): Promise<Pod> {
    const [first] = await this.pods();
    assert.ok(first, 'there is a relay pod');
    return first;
  }

  /** What a relay says of itself. */
  relay(pod: Pod): Promise<RelayStatus> {
    return fetchRelayStatus(pod.ip);
  }

  /** Where applications send to: the Service, by its address. */
  async service(): Promise<{ host: string; port: number }> {
    const service = await this.get('service/mail');
    return { host: String(service?.spec['clusterIP']), port: 25 };
  }

  async send(count: number): Promise<void> {
    await this.mail.send(await this.service(), count);
  }

  /** Waits for a condition, and says what was missing when it does not come. */
  async until(what: string, is: () => boolean | Promise<boolean>, seconds = 60): Promise<void> {
    const end = performance.now() + seconds * 1000;
    let fault = '';
    for (;;) {
      const met = await Promise.resolve(is()).catch((error: unknown) => {
        fault = `: ${String(error)}`;
        return false;
      });
      if (met) return;
      if (performance.now() > end) throw new Error(`not within ${seconds} s: ${what}${fault}`);
      await delay(200);
    }
  }

  /** Waits until the Ready condition is so. */
  async ready(status: 'True' | 'False', reason?: string, seconds = 90): Promise<void> {
    await this.until(
      `condition Ready ${status} ${reason ?? ''}`,
      async () => {
        const { conditions = [] } = await this.status();
        const found = conditions.find(({ type }) => type === 'Ready');
        return found?.status === status && (reason === undefined || found.reason === reason);
      },
      seconds,
    );
  }

  /** Waits until status.providers has these states. */
  async providers(
    wanted: Readonly<Partial<Record<UpstreamName, ProviderState>>>,
    seconds = 60,
  ): Promise<void> {
    await this.until(
      `status.providers ${JSON.stringify(wanted)}`,
      async () => {
        const { providers = [] } = await this.status();
        const states = new Map(providers.map(({ name, state }) => [name, state]));
        return Object.entries(wanted).every(([name, state]) => states.get(name) === state);
      },
      seconds,
    );
  }

  /**
   * Waits until every message that got its 250 has reached a provider. One that
   * a kill left in doubt waits for its first resend delay, up to 72 s.
   */
  async accounted(seconds = 150): Promise<void> {
    const { mail } = this;
    await this.until('all mail has arrived', () => mail.missing().length === 0, seconds).catch(error => {
      const lost = mail.missing();
      throw new Error(
        `${lost.length} of ${mail.accepted.size} messages have not arrived, such as ${lost[0]}`,
        {
          cause: error,
        },
      );
    });
  }

  /** Stops every provider. */
  async allDown(): Promise<void> {
    await Promise.all(Object.values(this.upstreams).map(provider => provider.down()));
  }

  async allUp(): Promise<void> {
    await Promise.all(Object.values(this.upstreams).map(provider => provider.up()));
  }

  /** Removes everything; the namespace goes by itself in the background. */
  async strike(): Promise<void> {
    this.mail.close();
    const patch = JSON.stringify({ spec: { suspend: false, spool: { drainTimeoutSeconds: 0 } } });
    await this.kubectl(['patch', 'mailrelay', 'mail', '--type', 'merge', '-p', patch]).catch(() => {});
    await this.cluster.kubectl(['delete', 'namespace', this.namespace, '--wait=false']).catch(() => {});
    await Promise.all(Object.values(this.upstreams).map(provider => provider.close()));
  }
}

function podOf({ metadata, status = {} }: KubeObject): Pod {
  const conditions = (status['conditions'] ?? []) as readonly { type: string; status: string }[];
  const containers = (status['containerStatuses'] ?? []) as readonly { restartCount: number }[];
  return {
    name: metadata.name,
    uid: metadata.uid,
    ip: String(status['podIP'] ?? ''),
    ready: conditions.some(({ type, status: is }) => type === 'Ready' && is === 'True'),
    restarts: containers[0]?.restartCount ?? 0,
  };
}
