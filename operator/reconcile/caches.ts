/** Everything the operator watches: one informer per kind, trimmed to what reconciling reads. */

import { type MailRelayObject, mailRelays } from '../api/mail-relay.ts';
import { fieldManager, labels } from '../api/names.ts';
import { ApiError } from '../kube/api-error.ts';
import { sleep, systemClock } from '../kube/clock.ts';
import { createInformer, type Informer, type InformerFault, type InformerOptions } from '../kube/informer.ts';
import type { KubeMetrics } from '../kube/metrics.ts';
import { type KubeObject, keyOf } from '../kube/object.ts';
import { defineResource, type KubeClient, type Resource } from '../kube/resource.ts';
import type { ScopeChange } from '../kube/scopes.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  prometheusRules,
  serviceAccounts,
  serviceMonitors,
  services,
  statefulSets,
} from '../resources/kinds.ts';
import { mentionedSecretKeys } from '../resources/secret-references.ts';
import { FieldOfView } from './field-of-view.ts';
import { secrets } from './secret-facts.ts';

/** What is read of a pod. */
export interface Pod extends KubeObject {
  readonly status?: { readonly phase?: string; readonly podIP?: string };
}

export const pods = defineResource<Pod>({ apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true });

/** Kinds of children that every cluster has. */
export const childResources: readonly Resource[] = [
  configMaps,
  serviceAccounts,
  services,
  persistentVolumeClaims,
  deployments,
  statefulSets,
  podDisruptionBudgets,
  networkPolicies,
];

/** Kinds of children that exist only beside the Prometheus operator. */
export const monitoringResources: readonly Resource[] = [serviceMonitors, prometheusRules];

/**
 * First and longest pause before a kind that a cluster need not have is looked for again: nobody waits for it, and for
 * most clusters the answer is the same for ever.
 */
const OPTIONAL_BACKOFF_MS = [200, 5 * 60_000] as const;

/** A CRD that was just made is answered for with 429, asking for a second. Without them work begins, and is done again. */
const OPTIONAL_PATIENCE_MS = 10_000;

/**
 * What fails for so long after the first namespace could be read whole, without ever having been read, may do so for
 * ever, as Secrets do of which one cannot be decrypted: the other namespaces do not wait for it.
 */
const FAILING_PATIENCE_MS = 30_000;

/** First and longest pause of a watch that broke: back at work within 5 s of the API server's return. */
const BACKOFF_MS = [200, 1000] as const;

/**
 * All kinds are listed at the same time, and a page is held as text and as values with their managedFields, which
 * are half of it: smaller pages, a lower peak, and what the heap has once grown to it keeps.
 */
const PAGE_SIZE = 100;

export interface CachesOptions {
  readonly client: KubeClient;
  /** undefined = all. */
  readonly namespaces: readonly string[] | undefined;
  /** Label selector over MailRelays, for sharding. */
  readonly selector: string | undefined;
  readonly metrics: KubeMetrics;
  /** Is told what is to be logged. */
  readonly log: CacheListener;
}

export interface CacheListener {
  /** A kind could not be listed or watched for the moment. */
  fault(kind: string, fault: InformerFault): void;
  /** A kind is watched (again). */
  answered(kind: string, namespace: string | undefined): void;
  /** More or less of it can be seen. `optional`: a cluster need not have it. */
  scope(kind: string, change: ScopeChange, optional: boolean): void;
  /** Work begins without what is there of it, since it has failed for long. */
  leftOut(kind: string, namespace: string | undefined, optional: boolean): void;
}

/** Thrown when the API server does not understand the label selector over MailRelays: no waiting mends that. */
export class SelectorError extends Error {
  override readonly name = 'SelectorError';
}

export class Caches {
  readonly relays: Informer<MailRelayObject>;
  /** Metadata only. */
  readonly secrets: Informer<KubeObject>;
  readonly pods: Informer<Pod>;
  /** What of all that can be seen. */
  readonly view: FieldOfView;
  readonly #children = new Map<string, Informer<KubeObject>>();
  readonly #options: CachesOptions;
  readonly #stopping = new AbortController();
  /** Rejected when work can never begin. */
  readonly #usable = Promise.withResolvers<never>();

  constructor(options: CachesOptions) {
    this.#options = options;
    this.#usable.promise.catch(() => undefined);
    this.relays = this.#make(mailRelays, {
      ...(options.selector !== undefined && { labelSelector: options.selector }),
      indexers: { secret: mentionedSecretKeys },
    });
    this.secrets = this.#make<KubeObject>(secrets, { metadataOnly: true, transform: bareMetadata });
    this.pods = this.#make(pods, {
      labelSelector: `${labels.name}=mailrelay,${labels.component}=relay`,
      indexers: { relay: pod => relayKeys(pod) },
      transform: trimPod,
    });
    for (const resource of childResources) this.#children.set(resource.kind, this.#makeChild(resource));
    for (const resource of monitoringResources) {
      const looking = { refusedBackoffMs: OPTIONAL_BACKOFF_MS };
      this.#children.set(resource.kind, this.#makeChild(resource, looking));
    }
    this.view = new FieldOfView(
      this.all.map(({ resource: { kind }, scopes }) => ({ kind, optional: isOptional(kind), scopes })),
    );
  }

  get all(): readonly Informer<KubeObject>[] {
    return [
      this.relays as Informer<KubeObject>,
      this.secrets,
      this.pods as Informer<KubeObject>,
      ...this.#children.values(),
    ];
  }

  /** Without the kinds that a cluster need not have: what keeps those from being read is not mended by a new process. */
  get needed(): readonly Informer<KubeObject>[] {
    return this.all.filter(({ resource }) => !isOptional(resource.kind));
  }

  /**
   * The cache of a kind of child. Of a kind that a cluster need not have: undefined unless it can be seen in that
   * namespace.
   */
  of<T extends KubeObject>(resource: Resource<T>, namespace: string | undefined): Informer<T> | undefined {
    const { kind } = resource;
    if (isOptional(kind) && !this.view.shows(kind, namespace)) return undefined;
    return this.#children.get(kind) as Informer<T> | undefined;
  }

  /**
   * Resolves when work can begin: see FieldOfView.opened. Kinds that a cluster need not have get a moment beside.
   * Throws SelectorError.
   */
  async start(): Promise<void> {
    for (const informer of this.all) informer.start();
    void this.#losePatience();
    await Promise.race([this.view.opened, this.#usable.promise]);
    const all = new AbortController();
    void this.view.whole.then(() => all.abort());
    await sleep(systemClock, OPTIONAL_PATIENCE_MS, all.signal);
    for (const { resource, scopes } of this.all) {
      for (const { namespace, state } of scopes) {
        if (state === 'failing')
          this.#options.log.leftOut(resource.kind, namespace, isOptional(resource.kind));
      }
    }
  }

  async #losePatience(): Promise<void> {
    await this.view.begun;
    await sleep(systemClock, FAILING_PATIENCE_MS, this.#stopping.signal);
    if (!this.#stopping.signal.aborted) this.view.leaveOutFailing();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.all.map(informer => informer.stop()));
  }

  /** The grammar of selectors is the API server's: it alone says which it understands. */
  #checkSelector({ during, error }: InformerFault): void {
    const { selector } = this.#options;
    if (selector === undefined || during !== 'list') return;
    if (!(error instanceof ApiError) || error.reason !== 'BadRequest') return;
    const message = `--selector must be a label selector such as "tier in (gold,silver),!test,shard=a", not "${selector}"`;
    this.#usable.reject(new SelectorError(`${message}: ${error.message}`, { cause: error }));
  }

  #makeChild(resource: Resource, more: Partial<InformerOptions<KubeObject>> = {}): Informer<KubeObject> {
    const labelSelector = `${labels.managedBy}=${fieldManager}`;
    // The names of claims alone cannot be told from the MailRelay: each of its replicas has had one.
    const indexers = resource.kind === persistentVolumeClaims.kind ? { relay: relayKeys } : {};
    // A copy of a workload, as from a backup, has its labels and another manager.
    const isWorkload = resource.kind === deployments.kind || resource.kind === statefulSets.kind;
    const applier = isWorkload ? { applier: fieldManager } : {};
    return this.#make(resource, { labelSelector, indexers, ...applier, ...more });
  }

  #make<T extends KubeObject>(resource: Resource<T>, more: Partial<InformerOptions<T>>): Informer<T> {
    const { client, namespaces, metrics, log } = this.#options;
    const { kind } = resource;
    const hooks = metrics.informerHooks<T>(kind);
    return createInformer<T>({
      client,
      resource,
      ...(namespaces !== undefined && { namespaces }),
      backoffMs: BACKOFF_MS,
      pageSize: PAGE_SIZE,
      onFault: fault => {
        hooks.onFault?.(fault);
        log.fault(kind, fault);
        if (kind === mailRelays.kind) this.#checkSelector(fault);
      },
      onWatchStart: namespace => {
        hooks.onWatchStart?.();
        log.answered(kind, namespace);
      },
      onScope: change => {
        log.scope(kind, change, isOptional(kind));
        this.view.changed(change.namespace);
      },
      ...more,
    });
  }
}

function isOptional(kind: string): boolean {
  return monitoringResources.some(resource => resource.kind === kind);
}

/** `namespace/name` of the MailRelay that a child belongs to, by its labels. */
export function relayKeys({ metadata }: KubeObject): string[] {
  const name = metadata.labels?.[labels.instance];
  return name === undefined ? [] : [keyOf({ name, namespace: metadata.namespace ?? '' })];
}

/** Of a foreign Secret nothing is kept but its name and version. */
function bareMetadata({
  metadata: { name, namespace = '', uid = '', resourceVersion = '' },
}: KubeObject): KubeObject {
  return { metadata: { name, namespace, uid, resourceVersion } };
}

function trimPod({ apiVersion = 'v1', kind = 'Pod', metadata, status }: Pod): Pod {
  const { phase, podIP } = status ?? {};
  return {
    apiVersion,
    kind,
    metadata,
    status: { ...(phase !== undefined && { phase }), ...(podIP !== undefined && { podIP }) },
  };
}
