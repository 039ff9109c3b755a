/** The connection of a pod: address from the environment, CA, token and namespace from the mounted service account. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Connection, ConnectionConfigError, type TlsSettings } from './identity.ts';
import { fileToken } from './token.ts';

const defaultDirectory = '/var/run/secrets/kubernetes.io/serviceaccount';

/** Whether the environment is a pod's: Kubernetes sets both variables in each. */
export function isInCluster(env: Record<string, string | undefined>): boolean {
  return Boolean(env['KUBERNETES_SERVICE_HOST'] && env['KUBERNETES_SERVICE_PORT']);
}

/** Throws ConnectionConfigError when the service account is not mounted. */
export async function loadInCluster(
  env: Record<string, string | undefined>,
  directory = defaultDirectory,
): Promise<Connection> {
  const host = env['KUBERNETES_SERVICE_HOST'] ?? '';
  const port = env['KUBERNETES_SERVICE_PORT_HTTPS'] ?? env['KUBERNETES_SERVICE_PORT'] ?? '443';
  const readTls = async (): Promise<TlsSettings> => ({ ca: await readMounted(directory, 'ca.crt') });
  const token = fileToken(join(directory, 'token'));
  await token.read();
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: await readMounted(directory, 'namespace').then(
      text => text.trim() || 'default',
      () => 'default',
    ),
    tls: await readTls(),
    token,
    reloadTls: readTls,
  };
}

async function readMounted(directory: string, name: string): Promise<string> {
  const path = join(directory, name);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new ConnectionConfigError(
      `in-cluster file ${path} cannot be read (is automountServiceAccountToken off?): ${(error as Error).message}`,
    );
  }
}
