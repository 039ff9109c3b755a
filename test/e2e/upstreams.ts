/**
 * The scripted providers that relay pods reach: on the cluster's host address,
 * under names in cluster DNS where that is ours, with TLS from an authority of
 * the test and a password each. One each of STARTTLS and of TLS from the first byte.
 */
import type { Cluster } from '../cluster/cluster.ts';
import { authority } from '../smtp/certificates.ts';
import { type ScriptedProvider, startProvider } from '../smtp/provider.ts';

/** The providers of every scene, in the order of their priority. */
export const upstreamNames = ['primary', 'backup', 'last'] as const;
export type UpstreamName = (typeof upstreamNames)[number];
export type Upstreams = Readonly<Record<UpstreamName, ScriptedProvider>>;

/** The Secret with the authority of all providers. */
export const authoritySecret = 'providers-ca';

const hostName = (name: UpstreamName): string => `${name}.test.internal`;
const isImplicit = (name: UpstreamName): boolean => name === 'backup';
const firstPassword = (name: UpstreamName): string => `first password of ${name}`;

/** The Secret with the user name and password of a provider. */
export function secretName(name: UpstreamName): string {
  return `${name}-smtp`;
}

/** Starts all three; they take only mail of who knows the password. */
export async function startUpstreams(cluster: Cluster): Promise<Upstreams> {
  const host = cluster.hostAddress;
  if (host === undefined) throw new Error('pods cannot reach this process');
  const start = (name: UpstreamName): Promise<ScriptedProvider> =>
    startProvider({
      host,
      hostname: hostName(name),
      tls: isImplicit(name) ? 'implicit' : 'starttls',
      certificate: authority().issue({ names: [hostName(name)] }),
      users: { [`user-${name}`]: firstPassword(name) },
      keep: 'headers',
    });
  if (cluster.sort === 'own')
    await cluster.serveNames(Object.fromEntries(upstreamNames.map(name => [name, host])));
  const [primary, backup, last] = await Promise.all([start('primary'), start('backup'), start('last')]);
  return { primary, backup, last };
}

/** The entry of spec.forwardProviders; without a name in DNS the certificate's is told beside the address. */
export function providerSpec(
  name: UpstreamName,
  { host, port }: ScriptedProvider,
  isNamed = true,
): Record<string, unknown> {
  const caRef = { name: authoritySecret };
  return {
    name,
    host: isNamed ? hostName(name) : host,
    port,
    ssl: isImplicit(name),
    secretRef: { name: secretName(name) },
    tls: isNamed ? { caRef } : { caRef, serverName: hostName(name) },
    // One that is stopped refuses at once; one that works may be slow, since several clusters share the machine.
    timeouts: { connectSeconds: 5, greetingSeconds: 15, commandSeconds: 15 },
  };
}

/** The Secret that a provider's credentials are in. */
export function credentialSecret(name: UpstreamName, password = firstPassword(name)): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: secretName(name) },
    type: 'kubernetes.io/basic-auth',
    stringData: { username: `user-${name}`, password },
  };
}

/** The Secret with the certificate of the authority. */
export function authoritySecretManifest(): object {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: authoritySecret },
    stringData: { 'ca.crt': authority().certificate },
  };
}
