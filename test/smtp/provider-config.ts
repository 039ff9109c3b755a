/** The compiled configuration of one provider for tests: sensible everywhere, quick to time out. */
import type { ProviderConfig } from '../../relay/config/config.ts';

type Overrides = Partial<Omit<ProviderConfig, 'tls' | 'limits' | 'timeouts'>> & {
  readonly tls?: Partial<ProviderConfig['tls']>;
  readonly limits?: Partial<ProviderConfig['limits']>;
  readonly timeouts?: Partial<ProviderConfig['timeouts']>;
};

/** A provider at that address; the times are 5 s unless overridden. */
export function providerConfig(
  { host, port }: { readonly host: string; readonly port: number },
  { tls, limits, timeouts, ...rest }: Overrides = {},
): ProviderConfig {
  const required = rest.ssl === true || rest.credentials !== undefined;
  return {
    name: `${host}:${port}`,
    host,
    port,
    ssl: false,
    priority: 1,
    ...rest,
    tls: { required, insecureSkipVerify: false, minVersion: 'TLSv1.2', ...tls },
    limits: {
      maxConnections: 10,
      maxRecipientsPerMessage: 50,
      messagesPerConnection: 1000,
      connectionLifetimeMs: 600_000,
      idleTimeoutMs: 60_000,
      ...limits,
    },
    timeouts: {
      connectMs: 5000,
      greetingMs: 5000,
      commandMs: 5000,
      dataBlockMs: 5000,
      finalDotMs: 5000,
      ...timeouts,
    },
  };
}
