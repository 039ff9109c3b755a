/**
 * The relay as one running thing: opens its parts in the order in which they
 * need each other, hands a new configuration to all of them, and stops them in
 * the order in which nothing acknowledged can be lost. The only file that
 * knows every part.
 */
import { performance } from 'node:perf_hooks';
import { serveAdmin } from './admin/admin-server.ts';
import { serveHealth } from './admin/health-server.ts';
import type { HttpEndpoint, Trouble } from './admin/http.ts';
import { Adoption } from './adoption.ts';
import type { RelayConfig } from './config/config.ts';
import { endpoint } from './config/endpoint.ts';
import { type LiveConfig, openConfig } from './config/watch.ts';
import { ConfigFollower } from './config-follower.ts';
import { openSession } from './delivery/connection.ts';
import { Delivery } from './delivery/delivery.ts';
import { type Listener, openListener } from './inbound/listener.ts';
import { adminOperations } from './operations.ts';
import { openOwnSpool, spoolSettings } from './own-spool.ts';
import { openSpool } from './spool/open.ts';
import type { OpenSpool } from './spool/settings.ts';
import type { Emit } from './telemetry/events.ts';
import { createLog, type Log, type LogFormat } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { metricsReaders, relayView, secretsOf } from './views.ts';
import { WholeQueue } from './whole-queue.ts';

export interface RelayOptions {
  readonly configPath: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly logFormat?: LogFormat;
  /** Where log lines go instead of standard output. */
  readonly logStream?: { write(line: string): unknown };
  /** Hears every event as well, for a demonstration or a test. */
  readonly onEvent?: Emit;
  /** Wall clock, ms since the epoch: what ages, due times and expiry go by. Default Date.now. */
  readonly now?: () => number;
  /** Aborts a start that waits for its directory: it rejects with StoppedWaiting. */
  readonly stopping?: AbortSignal;
}

/** The parts of a running relay. */
export interface RelayParts {
  readonly live: LiveConfig;
  readonly spool: OpenSpool;
  readonly delivery: Delivery;
  readonly listener: Listener;
  /** Where dataDir is shared with other relays. */
  readonly adoption?: Adoption;
}

export type Phase = 'starting' | 'running' | 'stopping';

/** The last configuration that was refused, unless a later one was accepted. */
export interface ConfigTrouble {
  readonly at: number;
  readonly errors: readonly string[];
}

/** How often dead mail is looked through for what may go, ms. */
const SWEEP_MS = 10 * 60_000;

export class Relay {
  readonly startedAt = Date.now();
  phase: Phase = 'starting';
  configTrouble: ConfigTrouble | undefined;
  readonly #log: Log;
  /** There before anything can happen: what the start tells is counted, too. */
  readonly #metrics = createMetrics(metricsReaders(this));
  readonly #onEvent: Emit | undefined;
  readonly #now: () => number;
  #parts: RelayParts | undefined;
  #health: HttpEndpoint | undefined;
  #admin: HttpEndpoint | undefined;
  #sweep: NodeJS.Timeout | undefined;
  #follower: ConfigFollower | undefined;
  #stopped: Promise<void> | undefined;

  private constructor(options: RelayOptions) {
    this.#log = createLog({
      level: 'info',
      ...(options.logFormat === undefined ? {} : { format: options.logFormat }),
      ...(options.logStream === undefined ? {} : { stream: options.logStream }),
    });
    this.#onEvent = options.onEvent;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Opens everything; resolves when mail is accepted. Rejects with ConfigError,
   * SpoolError or the error of a port that cannot be had; nothing stays open then.
   */
  static async start(options: RelayOptions): Promise<Relay> {
    const relay = new Relay(options);
    try {
      await relay.#open(options);
    } catch (error) {
      await relay.#close(0);
      throw error;
    }
    return relay;
  }

  get parts(): RelayParts {
    if (this.#parts === undefined) throw new Error('the relay is not open');
    return this.#parts;
  }

  /** Its own store's and those of relays that are gone. */
  get spools(): readonly OpenSpool[] {
    return [this.parts.spool, ...(this.parts.adoption?.spools ?? [])];
  }

  /** All mail in them, as people see it. */
  readonly queue = new WholeQueue({
    spools: () => this.spools,
    forwarding: () => this.config.forwarding,
  });

  get config(): RelayConfig {
    return this.parts.live.current();
  }

  /** Addresses in use, for people; health is undefined when switched off. */
  get endpoints(): { smtp: { host: string; port: number }; health?: HttpEndpoint; admin: HttpEndpoint } {
    const health = this.#health === undefined ? {} : { health: this.#health };
    return { smtp: this.parts.listener.address, admin: this.#admin!, ...health };
  }

  readonly emit: Emit = event => {
    this.#log.emit(event);
    this.#metrics.emit(event);
    this.#onEvent?.(event);
  };

  /** Reads the configuration again, as SIGHUP does. Resolves with whether it could be used. */
  reload(): Promise<boolean> {
    return this.parts.live.reload();
  }

  /**
   * Stops: not ready at once; new connections for `graceMs` more; then
   * transactions under way finish within the configured deadline. Calling it
   * again returns the same promise.
   */
  stop(graceMs: number = this.config.shutdown.graceMs): Promise<void> {
    this.#stopped ??= this.#close(graceMs);
    return this.#stopped;
  }

  async #open(options: RelayOptions): Promise<void> {
    const live = await openConfig({
      path: options.configPath,
      env: options.env,
      report: {
        loaded: config => this.#configLoaded(config),
        rejected: errors => this.#configRejected(errors),
      },
      // Still opening: what is current then is taken over at the end.
      onChange: config => this.#follower?.follow(config),
    });
    const config = live.current();
    const { spool, slot } = await openOwnSpool(config, {
      open: directory => this.#openIn(config, directory, this.emit),
      emit: this.emit,
      stopping: options.stopping ?? new AbortController().signal,
    }).catch((error: unknown) => {
      live.close();
      throw error;
    });
    const delivery = new Delivery(config, {
      spool,
      emit: this.emit,
      openSession,
      now: this.#now,
      monotonic: () => performance.now(),
      random: Math.random,
    });
    const listener = await openListener(config.listener, { spool, emit: this.emit, now: this.#now }).catch(
      async (error: unknown) => {
        live.close();
        await spool.close();
        throw error;
      },
    );
    const adoption = slot === undefined ? {} : { adoption: this.#adopt(slot, delivery, config) };
    this.#parts = { live, spool, delivery, listener, ...adoption };
    await this.#openEndpoints(config);
    const { queue, emit } = this;
    this.#follower = new ConfigFollower(config, {
      delivery,
      listener,
      spools: () => this.spools,
      queue,
      emit,
    });
    if (live.current() !== config) this.#follower.follow(live.current());
    delivery.start();
    this.#follower.begin(this.config);
    this.#sweep = setInterval(() => void this.#sweepDead(), SWEEP_MS);
    this.#sweep.unref();
    this.phase = 'running';
    const { host, port } = listener.address;
    this.emit({ event: 'started', message: `accepting mail on ${endpoint(host, port)}` });
  }

  #openIn(config: RelayConfig, directory: string, emit: Emit): Promise<OpenSpool> {
    return openSpool({ directory, emit, now: this.#now, ...spoolSettings(config) });
  }

  #adopt(own: string, delivery: Delivery, { dataDir: root }: RelayConfig): Adoption {
    const open = (directory: string, emit: Emit) => this.#openIn(this.config, directory, emit);
    return new Adoption({ root, own, open, delivery, emit: this.emit, now: this.#now });
  }

  async #openEndpoints(config: RelayConfig): Promise<void> {
    const trouble: Trouble = failure => this.emit({ event: 'operation-failed', ...failure });
    const { host, port } = config.health;
    if (port !== undefined) {
      this.#health = await serveHealth({
        host,
        port,
        view: relayView(this),
        metrics: this.#metrics,
        trouble,
      });
    }
    this.#admin = await serveAdmin({ port: config.adminPort, operations: adminOperations(this), trouble });
  }

  async #close(graceMs: number): Promise<void> {
    this.phase = 'stopping';
    clearInterval(this.#sweep);
    this.#follower?.stop();
    if (this.#parts !== undefined) {
      this.emit({
        event: 'stopping',
        message: `finishing what runs, ${this.#parts.delivery.running} messages under way`,
      });
      await this.#closeParts(this.#parts, graceMs);
    }
    await Promise.all([this.#health?.close(), this.#admin?.close()]);
    this.emit({ event: 'stopped', message: 'everything accepted is on disk' });
    await this.#log.close();
  }

  async #closeParts(
    { live, spool, delivery, listener, adoption }: RelayParts,
    graceMs: number,
  ): Promise<void> {
    const { deadlineMs } = live.current().shutdown;
    live.close();
    if (graceMs > 0) await new Promise(resolve => setTimeout(resolve, graceMs));
    await Promise.all([listener.close(deadlineMs), delivery.stop(deadlineMs)]);
    await adoption?.close();
    await spool.close();
  }

  #configLoaded(config: RelayConfig): void {
    this.configTrouble = undefined;
    this.#log.configure({ level: config.logLevel, secrets: secretsOf(config) });
    this.emit({
      event: 'config-loaded',
      fingerprint: config.fingerprint,
      providers: config.providers.map(({ name }) => name),
      warnings: config.warnings,
    });
  }

  #configRejected(errors: readonly string[]): void {
    this.configTrouble = { at: Date.now(), errors };
    this.emit({ event: 'config-rejected', errors });
  }

  async #sweepDead(): Promise<void> {
    try {
      await this.queue.sweep(this.#now());
    } catch (error) {
      this.emit({ event: 'spool-trouble', message: error instanceof Error ? error.message : String(error) });
    }
  }
}
