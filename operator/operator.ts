/**
 * The operator as one running thing: watches, works while it leads, and never
 * writes when it does not. Ends in the order in which nothing is half done.
 */
import { hostname } from 'node:os';
import { type Logger, pino } from 'pino';
import { collectDefaultMetrics, Registry } from 'prom-client';
import packageJson from '../package.json' with { type: 'json' };
import { annotations, fieldManager, group } from './api/names.ts';
import { CacheLog } from './cache-log.ts';
import { createApplier } from './kube/apply.ts';
import { createClient } from './kube/client.ts';
import { systemClock } from './kube/clock.ts';
import { type Connection, loadConnection } from './kube/connection.ts';
import { createEventRecorder, type EventRecorder } from './kube/events.ts';
import { guardWrites } from './kube/guard-writes.ts';
import { createLeaderElection, type LeaderElection } from './kube/lease.ts';
import { createKubeMetrics, type KubeMetrics } from './kube/metrics.ts';
import type { KubeClient } from './kube/resource.ts';
import { createStatusWriter } from './kube/status.ts';
import { createTransport, type RequestReport, type Transport } from './kube/transport.ts';
import { createWorkQueue, type WorkQueue } from './kube/work-queue.ts';
import { unhealthy } from './liveness.ts';
import type { OperatorOptions } from './options.ts';
import { gaugeOutOfView, withinView } from './out-of-view.ts';
import { type Probes, serveProbes } from './probes.ts';
import { Caches } from './reconcile/caches.ts';
import { PodReports } from './reconcile/pod-reports.ts';
import { Reconciler } from './reconcile/reconciler.ts';
import { RelayGauges } from './reconcile/relay-gauges.ts';
import { fetchRelayStatus, type RelayStatus } from './reconcile/relay-status.ts';
import { SecretFactsCache } from './reconcile/secret-facts.ts';
import { connectTriggers, resync } from './triggers.ts';
import { whileLeading } from './while-leading.ts';

const DRAIN_MS = 20_000;
/** Of the lease alone: a renewal must not wait behind writes that hang, and the next not behind one that does. */
const LEASE_CONNECTIONS = 2;

type Ask = (ip: string) => Promise<RelayStatus>;

export class Operator {
  readonly #options: OperatorOptions;
  readonly #log: Logger;
  readonly #transports: readonly Transport[];
  readonly #caches: Caches;
  readonly #queue: WorkQueue;
  readonly #reports: PodReports;
  readonly #reconciler: Reconciler;
  readonly #events: EventRecorder;
  readonly #election: LeaderElection | undefined;
  #probes: Probes | undefined;
  #opened = false;
  /** It works, and nobody has said that it is to end: also while the lease has run out and may still be renewed. */
  #leads = false;
  #endTriggers: () => void = () => undefined;
  #endResync: () => void = () => undefined;
  #stopped: Promise<void> | undefined;

  private constructor(options: OperatorOptions, parts: Parts) {
    this.#options = options;
    this.#log = parts.log;
    this.#transports = [parts.transport, parts.leaseTransport];
    this.#caches = parts.caches;
    this.#election = options.leaderElect ? this.#elect(parts) : undefined;
    const mayWrite = (): boolean => this.#election?.isLeader() ?? true;
    const { metrics } = parts;
    const client = options.leaderElect ? createClient(guardWrites(parts.transport, mayWrite)) : parts.client;
    this.#events = createEventRecorder({
      client,
      controller: `${group}/operator`,
      instance: hostname(),
      mayWrite,
      onDropped: why => metrics.onEventDropped(why),
    });
    this.#reports = new PodReports({
      ask: ip => parts.ask(ip),
      clock: systemClock,
      onNews: relay => this.#queue.add(relay, 'low'),
    });
    this.#reconciler = this.#makeReconciler(client, mayWrite, parts.registry);
    this.#queue = createWorkQueue({
      handler: whileLeading(
        withinView(key => this.#reconciler.reconcile(key), {
          caches: this.#caches,
          leave: key => this.#reconciler.leave(key),
        }),
        { mayWrite, leads: () => this.#leads },
      ),
      workers: options.workers,
      hooks: metrics.queueHooks('mailrelay', {
        onError: (relay, error, failures, retryInMs) =>
          this.#log.warn({ relay, failures, retryInMs, error: messageOf(error) }, 'reconcile failed'),
      }),
    });
  }

  /**
   * Connects, watches, and works while it leads. A lease that is lost, as when the API server is away, is taken
   * again by the same process: caches and connections are there, so that it works on as soon as the server is back.
   * Waits for a server that is not there yet as well; throws for what only a person can mend (ConnectionConfigError,
   * SelectorError). `ask` reads /status of the pod at an address.
   */
  static async start(options: OperatorOptions, ask: Ask = fetchRelayStatus): Promise<Operator> {
    const parts = { ...(await connect(options)), ask };
    const operator = new Operator(options, parts);
    operator.#probes = await operator.#serve(parts.registry);
    const { server } = parts.connection;
    operator.#log.info({ server, probesPort: operator.probesPort, version: packageJson.version }, 'started');
    try {
      await operator.#caches.start();
    } catch (error) {
      await operator.stop();
      throw error;
    }
    operator.#opened = true;
    operator.#log.info({ relays: operator.#caches.relays.size }, 'caches are synced');
    if (operator.#election === undefined) operator.#work();
    else operator.#election.start();
    return operator;
  }

  get probesPort(): number {
    return this.#probes?.port ?? 0;
  }

  /** Finishes what is being worked on, then gives the lease back. Calling it again returns the same promise. */
  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    this.#rest();
    await this.#queue.stop(DRAIN_MS);
    await this.#events.stop();
    await this.#election?.stop();
    await this.#caches.stop();
    await this.#probes?.close();
    await Promise.all(this.#transports.map(transport => transport.close()));
    this.#log.info('stopped');
  }

  #work(): void {
    // A worker that was waiting for an answer when it led no more may have begun something since.
    this.#reconciler.rest();
    this.#leads = true;
    this.#reports.start();
    this.#endTriggers = connectTriggers(this.#caches, this.#queue);
    this.#endResync = resync(this.#caches, this.#queue, systemClock);
    this.#queue.start();
  }

  /** Takes in nothing new and asks no pods; nobody's time to drain runs. */
  #rest(): void {
    this.#leads = false;
    this.#endResync();
    this.#endTriggers();
    this.#endTriggers = () => undefined;
    this.#reports.stop();
    this.#reconciler.rest();
  }

  #elect({ leaseTransport, metrics }: Parts): LeaderElection {
    const { leaderElectionName: name, leaderElectionNamespace: namespace } = this.#options;
    return createLeaderElection({
      client: createClient(leaseTransport),
      namespace,
      name,
      onStarted: () => {
        metrics.setLeader(name, true);
        this.#log.info({ lease: `${namespace}/${name}` }, 'leading');
        this.#work();
      },
      onStopped: why => {
        metrics.setLeader(name, false);
        this.#log.info({ why }, 'leading no more');
        if (why === 'lost') this.#rest();
      },
      onError: error => this.#log.warn({ error: error.message }, 'lease'),
    });
  }

  #makeReconciler(client: KubeClient, mayWrite: () => boolean, registry: Registry): Reconciler {
    const { relayImage: image, leaderElectionNamespace, monitoringNamespaces, runbooks } = this.#options;
    return new Reconciler({
      client,
      caches: this.#caches,
      applier: createApplier({
        client,
        fieldManager,
        hashAnnotation: annotations.appliedHash,
        mayWrite,
        onStubborn: (resource, key, path) =>
          this.#log.warn(
            { kind: resource.kind, key, path },
            'the API server keeps this field in its own way',
          ),
      }),
      statusWriter: createStatusWriter({ client, fieldManager, mayWrite }),
      events: this.#events,
      reports: this.#reports,
      gauges: new RelayGauges(registry, { clock: systemClock, leads: mayWrite }),
      secretFacts: new SecretFactsCache({
        ...{ client, informer: this.#caches.secrets, relays: this.#caches.relays, clock: systemClock },
      }),
      clock: systemClock,
      mayWrite,
      context: { image, operatorNamespace: leaderElectionNamespace, monitoringNamespaces, runbooks },
    });
  }

  #serve(registry: Registry): Promise<Probes> {
    const { healthHost: host, healthPort: port } = this.#options;
    return serveProbes({
      host,
      port,
      registry,
      unhealthy: () => this.#unhealthy(),
      unready: () => (this.#opened ? undefined : this.#caches.view.closed),
    });
  }

  #unhealthy(): string | undefined {
    const sinceRenewalMs = this.#election?.sinceRenewalMs();
    return unhealthy({ sinceRenewalMs, watches: this.#caches.needed.map(cache => cache.stats()) });
  }
}

/** What is made before the operator itself. */
interface Parts {
  readonly log: Logger;
  readonly registry: Registry;
  readonly metrics: KubeMetrics;
  readonly transport: Transport;
  readonly leaseTransport: Transport;
  readonly connection: Connection;
  readonly client: KubeClient;
  readonly caches: Caches;
  readonly ask: Ask;
}

/** Asks nothing of the API server, which may be away. Throws ConnectionConfigError. */
async function connect(options: OperatorOptions): Promise<Omit<Parts, 'ask'>> {
  const log = pino({ level: options.logLevel, base: null, timestamp: pino.stdTimeFunctions.isoTime });
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const metrics = createKubeMetrics(registry);
  const { kubeconfig, watchNamespaces: namespaces, selector } = options;
  const connection = await loadConnection(kubeconfig === undefined ? {} : { kubeconfig });
  const userAgent = `${fieldManager}/${packageJson.version}`;
  const onRequest = (report: RequestReport): void => metrics.onRequest(report);
  const transport = createTransport({ connection, userAgent, onRequest });
  const leaseTransport = createTransport({
    ...{ connection, userAgent, onRequest },
    maxConnections: LEASE_CONNECTIONS,
  });
  const client = createClient(transport);
  const cacheLog = new CacheLog({ log, server: connection.server, clock: systemClock });
  const caches = new Caches({ client, namespaces, selector, metrics, log: cacheLog });
  gaugeOutOfView(registry, caches.view);
  return { log, registry, metrics, transport, leaseTransport, connection, client, caches };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
