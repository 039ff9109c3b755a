/**
 * The providers at work, in order of priority, and what each is to people:
 * active, standby, failing … A reload replaces those that are to be reached in
 * another way (host, encryption, credentials, timeouts) and leaves the others,
 * with their connections and health, alone.
 */
import { isDeepStrictEqual } from 'node:util';
import type { ProviderConfig } from '../config/config.ts';
import type { ProviderState } from '../telemetry/events.ts';
import type { Health } from './breaker.ts';
import { Provider, type ProviderDeps } from './provider.ts';

/** One provider, for /status and metrics. */
export interface ProviderStatus {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly priority: number;
  readonly state: ProviderState;
  /** When that state began, ms since the epoch. */
  readonly since: number;
  readonly reason: string;
  readonly message: string;
  readonly connections: number;
  readonly lastSuccessAt?: number;
}

interface Standing {
  readonly state: ProviderState;
  readonly since: number;
}

export interface ProviderSetDeps extends Omit<ProviderDeps, 'healthChanged' | 'urgent'> {
  /** Is there mail to send? */
  readonly mailWaits: () => boolean;
  /** A provider that was out of use may be used again, and mail may wait for it. */
  readonly recovered: (provider: Provider) => void;
}

export class ProviderSet {
  readonly #deps: ProviderSetDeps;
  #providers: readonly Provider[] = [];
  /** Replaced or removed, with mail still under way on their connections. */
  #leaving: readonly Provider[] = [];
  #standings = new Map<string, Standing>();
  /** For some of the time since the last return no provider could be used. */
  #stoodStill = false;

  constructor(deps: ProviderSetDeps) {
    this.#deps = deps;
  }

  get all(): readonly Provider[] {
    return this.#providers;
  }

  /** Takes over a new configuration. Returns whether anything changed. */
  configure(configs: readonly ProviderConfig[]): boolean {
    const old = this.#providers;
    const known = new Map(old.map(provider => [provider.name, provider]));
    const same = isDeepStrictEqual(
      configs,
      old.map(({ config }) => config),
    );
    this.#providers = configs.map(config => this.#keep(known.get(config.name), config) ?? this.#make(config));
    const gone = old.filter(provider => !this.#providers.includes(provider));
    for (const provider of gone) provider.close();
    this.#leaving = [...this.#leaving, ...gone].filter(({ connections }) => connections > 0);
    this.#tellStates();
    this.#lookForStandstill();
    return !same;
  }

  /** Logs in to each without sending mail; health follows what is found. */
  async verify(): Promise<{ provider: string; error?: string }[]> {
    return Promise.all(
      this.#providers.map(async provider => {
        const error = provider.config.misconfigured ?? (await provider.probe());
        return error === undefined ? { provider: provider.name } : { provider: provider.name, error };
      }),
    );
  }

  status(): ProviderStatus[] {
    return this.#providers.map(provider => {
      const standing = this.#standings.get(provider.name);
      const state = this.#stateOf(provider);
      const { lastSuccessAt } = provider;
      return {
        name: provider.name,
        host: provider.config.host,
        port: provider.config.port,
        priority: provider.config.priority,
        state,
        since: standing?.since ?? this.#deps.wallClock(),
        ...why(provider),
        connections: provider.connections,
        ...(lastSuccessAt === undefined ? {} : { lastSuccessAt }),
      };
    });
  }

  /** Waiting messages are told to look again: delivery pauses. */
  interrupt(): void {
    for (const provider of this.#providers) provider.interrupt();
  }

  close(): void {
    for (const provider of this.#providers) provider.close();
  }

  /** Cuts running transactions, those on providers that a reload has replaced or removed as well. */
  destroy(): void {
    for (const provider of [...this.#providers, ...this.#leaving]) provider.destroy();
  }

  /** The provider as it is, with its new limits, unless it is to be reached in another way. */
  #keep(known: Provider | undefined, config: ProviderConfig): Provider | undefined {
    if (known === undefined || !isDeepStrictEqual(wayTo(known.config), wayTo(config))) return undefined;
    known.reconfigure(config);
    return known;
  }

  #make(config: ProviderConfig): Provider {
    return new Provider(config, {
      ...this.#deps,
      urgent: () => !this.#anyUsable && this.#deps.mailWaits(),
      healthChanged: (provider, was) => {
        this.#tellStates();
        this.#lookForStandstill();
        if (provider.usable) this.#returned(provider, was);
      },
    });
  }

  get #anyUsable(): boolean {
    return this.#providers.some(({ usable }) => usable);
  }

  #lookForStandstill(): void {
    if (!this.#anyUsable) this.#stoodStill = true;
  }

  /**
   * The end of a trial is no return: mail has been going there since it began. Nor is that of a cool-down during which
   * all mail could go to another provider: what waits was deferred there, and its delay is not to be cut short each time.
   */
  #returned(provider: Provider, was: Health): void {
    if (was.kind === 'trial' || (was.kind === 'cooling' && !this.#stoodStill)) return;
    this.#stoodStill = false;
    this.#deps.recovered(provider);
  }

  #stateOf(provider: Provider): ProviderState {
    if (provider.config.misconfigured !== undefined) return 'misconfigured';
    switch (provider.health.kind) {
      case 'suspended':
        return 'suspended';
      case 'open':
        return 'failing';
      case 'cooling':
        return 'cooling';
      case 'closed':
      case 'trial':
        return this.#providers.find(({ usable }) => usable) === provider ? 'active' : 'standby';
    }
  }

  /** One event for each provider whose state is not what was told last. */
  #tellStates(): void {
    const standings = new Map<string, Standing>();
    for (const provider of this.#providers) {
      const previous = this.#standings.get(provider.name);
      const state = this.#stateOf(provider);
      const standing = previous?.state === state ? previous : { state, since: this.#deps.wallClock() };
      standings.set(provider.name, standing);
      if (previous === undefined || previous === standing) continue;
      this.#deps.emit({
        event: 'provider-state',
        provider: provider.name,
        state,
        previous: previous.state,
        ...why(provider),
      });
    }
    this.#standings = standings;
  }
}

/** All that decides whether it can be reached and logged in to: the content of the credentials included. */
function wayTo({
  priority: _,
  limits: __,
  ...way
}: ProviderConfig): Omit<ProviderConfig, 'priority' | 'limits'> {
  return way;
}

/** A CamelCase reason, as conditions in Kubernetes have, and a sentence. */
function why(provider: Provider): { reason: string; message: string } {
  if (provider.config.misconfigured !== undefined) {
    return { reason: 'Misconfigured', message: provider.config.misconfigured };
  }
  const { health } = provider;
  switch (health.kind) {
    case 'closed':
      return { reason: 'Usable', message: '' };
    case 'trial':
      return { reason: 'Usable', message: 'it can be logged in to again; a few messages are tried first' };
    case 'open':
      return { reason: camelCase(health.reason), message: health.message };
    case 'suspended':
      return { reason: 'AuthenticationRefused', message: health.message };
    case 'cooling':
      return { reason: 'Throttled', message: health.message };
  }
}

function camelCase(failureClass: string): string {
  return `${failureClass.charAt(0).toUpperCase()}${failureClass.slice(1)}Failure`;
}
