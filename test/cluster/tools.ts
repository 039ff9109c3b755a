/**
 * Where the programs and images are that tests need. They are built by
 * `tools.sh` the first time, which can take minutes, and kept outside the
 * repository afterwards.
 */
import { access } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { command } from './process.ts';

const script = join(import.meta.dirname, 'tools.sh');
const longestBuild = 30 * 60_000;

async function made(what: string): Promise<string> {
  const { stdout } = await command([script, what], { timeout: longestBuild });
  return stdout.trim();
}

/** Directory with etcd, kube-apiserver and kubectl: `KUBEBUILDER_ASSETS` when set, else our own build. */
export async function kubernetesPrograms(): Promise<string> {
  const given = process.env['KUBEBUILDER_ASSETS'];
  if (given === undefined || given === '') return made('kubernetes');
  for (const program of ['etcd', 'kube-apiserver']) {
    await access(join(given, program)).catch(() => {
      throw new Error(`KUBEBUILDER_ASSETS=${given} must be a directory that holds etcd and kube-apiserver`);
    });
  }
  return given;
}

/** Why this machine cannot have an API server, as a sentence for a person; undefined when it can. */
export async function apiServerMissing(): Promise<string | undefined> {
  if (!(await onPath('openssl'))) return 'openssl is missing: install it, or run npm run test:setup as root';
  if (process.env['KUBEBUILDER_ASSETS'] || (await onPath('go'))) return undefined;
  return 'neither KUBEBUILDER_ASSETS is set nor Go installed, from which the API server is built';
}

/** Whether a program of this name is in a directory of PATH. */
export async function onPath(program: string): Promise<boolean> {
  const directories = (process.env['PATH'] ?? '').split(delimiter);
  const found = await Promise.all(
    directories.map(directory =>
      access(join(directory, program)).then(
        () => true,
        () => false,
      ),
    ),
  );
  return found.includes(true);
}

/** The helm program. */
export async function helmProgram(): Promise<string> {
  return join(await made('helm'), 'helm');
}

/** Archive of the image `localhost/node:26`: Debian and Node.js. */
export function baseImage(): Promise<string> {
  return made('base');
}

/** Archive of the image `localhost/mailrelay:test`, built from this working tree by the project's own Dockerfile. */
export function relayImage(): Promise<string> {
  return made('relay');
}
