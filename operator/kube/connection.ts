/** Finds the cluster to talk to: the usual order of kubeconfig, environment and in-cluster files. */
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { type Connection, ConnectionConfigError } from './identity.ts';
import { isInCluster, loadInCluster } from './in-cluster.ts';
import { loadKubeconfig } from './kubeconfig.ts';

export type { Connection } from './identity.ts';
export { ConnectionConfigError } from './identity.ts';

export interface ConnectionSources {
  /** Path given on the command line; it must exist. */
  kubeconfig?: string | undefined;
  context?: string | undefined;
  env?: Record<string, string | undefined>;
  /** Where the in-cluster token, ca.crt and namespace lie. */
  serviceAccountDirectory?: string;
}

/**
 * The usual order: an explicit kubeconfig, `KUBECONFIG`, in-cluster files, `~/.kube/config`.
 * Throws {@link ConnectionConfigError}.
 */
export async function loadConnection(sources: ConnectionSources = {}): Promise<Connection> {
  const env = sources.env ?? process.env;
  if (sources.kubeconfig) return loadKubeconfig([sources.kubeconfig], sources.context);
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter(Boolean);
  if (listed.length > 0) return loadKubeconfig(listed, sources.context);
  if (isInCluster(env)) return loadInCluster(env, sources.serviceAccountDirectory);
  const home = join(env['HOME'] ?? homedir(), '.kube', 'config');
  if (await exists(home)) return loadKubeconfig([home], sources.context);
  throw new ConnectionConfigError(
    `no cluster to talk to: give --kubeconfig or KUBECONFIG, or run in a pod with a service account (looked for ${home} last)`,
  );
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
