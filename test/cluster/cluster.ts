/**
 * The Kubernetes cluster of end-to-end tests, with nodes and pods: see
 * `cluster.sh` for which one that is. A cluster that a test process starts is
 * removed when that process ends, however it ends.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdir, readFile, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { type CommandOptions, command, type Output } from './process.ts';
import { helmProgram } from './tools.ts';

/** Where the cluster comes from: a kubeconfig that was given, kind, or our own build. */
export type ClusterSort = 'given' | 'kind' | 'own';

/** A program of a node of our own. */
export type NodePart =
  | 'etcd'
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubelet'
  | 'kube-proxy'
  | 'coredns'
  /** Enforces NetworkPolicies; not there until it is started, and what it enforced ends when it is told to (TERM). */
  | 'kube-router';

export type Cluster = {
  readonly sort: ClusterSort;
  readonly name: string;
  /** Kubeconfig file of an administrator, good for this process. */
  readonly kubeconfig: string;
  /** Whether this process is in the cluster's network, where it reaches pods and Services: `npm run e2e` sees to it for our own. */
  readonly isInside: boolean;
  /**
   * The address at which pods reach servers of this process; undefined when they do not. Elsewhere than inside a
   * cluster of our own it is what MAILRELAY_TEST_HOST_ADDRESS says.
   */
  readonly hostAddress: string | undefined;
  /** Whether several pods may mount one volume (ReadWriteMany). */
  readonly sharedVolumes: boolean;
  /** An image with Node.js that pods can use. */
  readonly nodeImage: string;
  /** Builds the project's image from the working tree and puts it into the cluster; the result is its name. */
  relayImage(): Promise<string>;
  /** Gives an image in the cluster a second name. */
  tagImage(from: string, to: string): Promise<void>;
  /** Runs kubectl and returns what it printed. */
  kubectl(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** Runs helm and returns what it printed. */
  helm(args: readonly string[], options?: CommandOptions): Promise<string>;
  /** Creates or changes objects: JavaScript values or YAML text. */
  apply(manifest: string | object | readonly object[]): Promise<void>;
  /** Runs a command in a pod. */
  exec(pod: PodName, args: readonly string[], options?: CommandOptions): Promise<string>;
  /** What a pod has printed; `previous` asks for its container before the last restart. */
  logs(pod: PodName, options?: { readonly previous?: boolean }): Promise<string>;
  /** Runs a command in the network of an own cluster, where it reaches pods and Services. */
  inside(args: readonly string[], options?: CommandOptions): Promise<Output>;
  /**
   * Makes volumes for claims of the default storage class; the result is their names. Needed on an own cluster,
   * which has no provisioner. Elsewhere nothing is done, and the result is empty.
   */
  makeVolumes(count: number, size?: string): Promise<readonly string[]>;
  /** Directory on this machine that is the content of a volume of {@link Cluster.makeVolumes}. */
  volumeDirectory(volume: string): string;
  /** Serves these names under `test.internal` in cluster DNS, instead of those before. Own clusters only. */
  serveNames(addresses: Readonly<Record<string, string>>): Promise<void>;
  /** Stops one program of an own cluster and waits until it has ended. */
  stopPart(part: NodePart, signal?: 'KILL' | 'TERM'): Promise<void>;
  /** Starts it again; does not wait until it is ready. */
  startPart(part: NodePart): Promise<void>;
  /** Removes the cluster if this process started it. */
  stop(): Promise<void>;
};

/** A pod, or what kubectl takes in its place, such as `deployment/mail`. */
export type PodName = { readonly namespace: string; readonly pod: string; readonly container?: string };

const script = join(import.meta.dirname, 'cluster.sh');
const stateDirectory = (name: string): string => `/var/tmp/mailrelay-${name}`;
const nodeAddress = '10.90.0.1';
const bringUp = 30 * 60_000; // the first time Kubernetes is built

/** Why this machine cannot have a cluster, as a sentence for a person; undefined when it can. */
export async function clusterMissing(): Promise<string | undefined> {
  try {
    await command([script, 'which']);
    return undefined;
  } catch (error) {
    const { stderr } = (error as Error).cause as { stderr?: string };
    return stderr?.trim() || String(error);
  }
}

/** The cluster that is up (`npm run cluster:up`, `npm run e2e`), else a new one for this process alone. */
export async function useCluster(): Promise<Cluster> {
  const name = process.env['MAILRELAY_CLUSTER'] ?? 'dev';
  const isUp = await command([script, 'isup'], { env: named(name) }).then(
    () => true,
    () => false,
  );
  return isUp ? describeCluster(name, () => Promise.resolve()) : startCluster();
}

/** The cluster that is up alone, else up to so many new ones for this process: more than one where they are our own. */
export async function useClusters(count: number): Promise<readonly Cluster[]> {
  const first = await useCluster();
  const isNew = first.name.startsWith(newName());
  if (first.sort !== 'own' || !isNew) return [first];
  return [first, ...(await Promise.all(Array.from({ length: count - 1 }, startCluster)))];
}

/**
 * Brings up a cluster for this process alone.
 *
 * @throws {Error} when none is possible here or it does not start, with the reason or the ends of its logs
 */
export async function startCluster(): Promise<Cluster> {
  const name = `${newName()}${Math.random().toString(36).slice(2, 6)}`;
  const holder = spawn(script, ['hold'], {
    env: named(name),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  const complaint = text(holder.stderr);
  const ended = once(holder, 'exit');
  const timer = setTimeout(() => holder.stdin.end(), bringUp);
  const [line] = await Promise.race([
    once(createInterface(holder.stdout), 'line'),
    ended.then(() => ['ended']),
  ]);
  clearTimeout(timer);
  if (line !== 'up') throw new Error(`no cluster: ${(await complaint).trim()}`);
  for (const part of [holder, holder.stdin, holder.stdout, holder.stderr]) unref(part);
  return describeCluster(name, async () => {
    holder.ref();
    holder.stdin.end();
    await ended;
  });
}

/** What the names of this process's own clusters begin with. */
function newName(): string {
  return `test-${process.pid}-`;
}

/** This process may end without waiting for it. */
function unref(part: object): void {
  if ('unref' in part && typeof part.unref === 'function') part.unref();
}

function named(name: string): NodeJS.ProcessEnv {
  return { ...process.env, MAILRELAY_CLUSTER: name };
}

async function describeCluster(name: string, stop: () => Promise<void>): Promise<Cluster> {
  const env = named(name);
  const clusterScript = async (...args: readonly string[]): Promise<string> =>
    (await command([script, ...args], { env, timeout: bringUp })).stdout.trim();
  const sort = (await clusterScript('which')) as ClusterSort;
  const directory = stateDirectory(name);
  const isInside = sort === 'own' && (await isInNetworkOf(directory));
  const kubeconfig = kubeconfigFile({ sort, name, isInside });
  const kubectlProgram = sort === 'own' ? join(directory, 'programs', 'kubectl') : 'kubectl';
  const clientEnv = { ...process.env, KUBECONFIG: kubeconfig };
  const client = async (line: readonly string[], options: CommandOptions = {}): Promise<string> =>
    (await command(line, { env: clientEnv, ...options })).stdout;
  const kubectl: Cluster['kubectl'] = (args, options) => client([kubectlProgram, ...args], options);
  const ownOnly = (what: string): void => {
    if (sort !== 'own') throw new Error(`${what} is only for our own cluster; this one is ${sort}`);
  };
  const apply: Cluster['apply'] = async manifest => {
    const input =
      typeof manifest === 'string'
        ? manifest
        : [manifest]
            .flat()
            .map(one => JSON.stringify(one))
            .join('\n');
    await kubectl(['apply', '-f', '-'], { input });
  };
  return {
    sort,
    name,
    kubeconfig,
    isInside,
    hostAddress: isInside ? nodeAddress : process.env['MAILRELAY_TEST_HOST_ADDRESS'],
    sharedVolumes: sort === 'own',
    nodeImage:
      sort === 'own'
        ? 'localhost/node:26'
        : (process.env['MAILRELAY_TEST_NODE_IMAGE'] ?? 'node:26-bookworm-slim'),
    relayImage: () => clusterScript('image'),
    tagImage: async (from, to) => void (await clusterScript('tag', from, to)),
    kubectl,
    helm: async (args, options) => client([await helmProgram(), ...args], options),
    apply,
    exec: (pod, args, options) => {
      const input = options?.input === undefined ? [] : ['--stdin'];
      return kubectl(['exec', ...input, ...podArguments(pod), '--', ...args], options);
    },
    logs: (pod, { previous = false } = {}) =>
      kubectl(['logs', ...podArguments(pod), ...(previous ? ['--previous'] : [])]),
    inside: async (args, options = {}) => {
      ownOnly('inside');
      const init = (await readFile(join(directory, 'pid', 'init'), 'utf8')).trim();
      const inner = { env: { ...process.env, KUBECONFIG: join(directory, 'inside.kubeconfig') }, ...options };
      return command(['nsenter', '--target', init, '--net', '--', ...args], inner);
    },
    makeVolumes: async (count, size = '1Gi') => {
      if (sort !== 'own') return [];
      const made = Array.from({ length: count }, () => `v-${crypto.randomUUID().slice(0, 13)}`);
      for (const volume of made) await mkdir(join(directory, 'volumes', volume));
      await apply(
        made.map(volume => volumeManifest(volume, { path: join(directory, 'volumes', volume), size })),
      );
      return made;
    },
    volumeDirectory: volume => {
      ownOnly('volumeDirectory');
      return join(directory, 'volumes', volume);
    },
    serveNames: async addresses => {
      ownOnly('serveNames');
      const lines = Object.entries(addresses).map(([host, address]) => `${address} ${host}.test.internal\n`);
      await writeFile(join(directory, 'hosts'), lines.join(''));
    },
    stopPart: async (part, signal = 'KILL') => void (await clusterScript('part', 'stop', part, signal)),
    startPart: async part => void (await clusterScript('part', 'start', part)),
    stop,
  };
}

function podArguments({ namespace, pod, container }: PodName): readonly string[] {
  return ['--namespace', namespace, pod, ...(container === undefined ? [] : ['--container', container])];
}

/** Inside its network an own cluster has another address than outside. */
function kubeconfigFile(cluster: { sort: ClusterSort; name: string; isInside: boolean }): string {
  const home = process.env['HOME'] ?? '';
  const cache =
    process.env['MAILRELAY_CACHE'] ??
    join(process.env['XDG_CACHE_HOME'] ?? join(home, '.cache'), 'mailrelay');
  switch (cluster.sort) {
    case 'given':
      return process.env['MAILRELAY_TEST_KUBECONFIG'] ?? '';
    case 'kind':
      return join(cache, `kind-${cluster.name}.kubeconfig`);
    case 'own':
      return join(stateDirectory(cluster.name), cluster.isInside ? 'inside.kubeconfig' : 'kubeconfig');
  }
}

async function isInNetworkOf(directory: string): Promise<boolean> {
  await access(directory);
  const init = (await readFile(join(directory, 'pid', 'init'), 'utf8')).trim();
  return (await readlink('/proc/self/ns/net')) === (await readlink(`/proc/${init}/ns/net`));
}

function volumeManifest(name: string, { path, size }: { path: string; size: string }): object {
  const onTheNode = [{ key: 'kubernetes.io/hostname', operator: 'In', values: ['node0'] }];
  return {
    apiVersion: 'v1',
    kind: 'PersistentVolume',
    metadata: { name },
    spec: {
      capacity: { storage: size },
      accessModes: ['ReadWriteOnce', 'ReadWriteMany'],
      persistentVolumeReclaimPolicy: 'Retain',
      storageClassName: 'local',
      local: { path },
      nodeAffinity: { required: { nodeSelectorTerms: [{ matchExpressions: onTheNode }] } },
    },
  };
}
