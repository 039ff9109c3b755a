/**
 * The operator as users install it: the Helm chart of the working tree with the
 * image of the working tree, where the Prometheus operator's kinds are. Installed
 * once for all files of a run; what is already as it should be is left alone.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import type { Cluster } from '../cluster/cluster.ts';
import { command } from '../cluster/process.ts';
import { monitoringDefinitions } from '../operator/monitoring.ts';

const root = join(import.meta.dirname, '../..');

/** Namespace of the operator. */
export const operatorNamespace = 'mailrelay-system';
/** Name of the release. */
export const release = 'mailrelay';
/** Name of the operator's Deployment. */
export const operatorDeployment = 'mailrelay-operator';
/** What `kubectl logs` takes for the operator. */
export const operatorPod = { namespace: operatorNamespace, pod: `deployment/${operatorDeployment}` };

/** Installs or upgrades to the working tree and waits until the operator works. The result is the image's name. */
export async function installOperator(cluster: Cluster, extra: readonly string[] = []): Promise<string> {
  await cluster.apply(monitoringDefinitions);
  const image = await taggedImage(cluster);
  await helmUpgrade(cluster, image, extra);
  return image;
}

/** `helm upgrade --install` with this image; returns when the new operator is ready. */
export async function helmUpgrade(
  cluster: Cluster,
  image: string,
  extra: readonly string[] = [],
): Promise<void> {
  const at = image.lastIndexOf(':');
  await cluster.helm([
    'upgrade',
    '--install',
    release,
    join(root, 'charts/mailrelay'),
    ...['--namespace', operatorNamespace, '--create-namespace', '--wait', '--timeout', '120s'],
    ...[
      '--set',
      `image.repository=${image.slice(0, at)}`,
      '--set-string',
      `image.tag=${image.slice(at + 1)}`,
    ],
    ...extra,
  ]);
}

/** A name that changes with the content, so that pods of an older image are replaced. */
async function taggedImage(cluster: Cluster): Promise<string> {
  const image = await cluster.relayImage();
  if (cluster.sort === 'given') return image;
  const named = `localhost/mailrelay:${await contentHash()}`;
  await cluster.tagImage(image, named);
  return named;
}

async function contentHash(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-bundle-'));
  try {
    await command([process.execPath, join(root, 'bundle.ts'), directory]);
    const hash = createHash('sha256');
    for (const file of (await readdir(directory)).sort()) hash.update(await readFile(join(directory, file)));
    return hash.digest('hex').slice(0, 12);
  } finally {
    await rm(directory, { recursive: true });
  }
}
