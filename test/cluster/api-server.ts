/**
 * A real kube-apiserver with its etcd and nothing else: no controllers, no
 * nodes, no pods. Each one has its own directory and its own port on loopback,
 * so several run side by side; none outlives the process that started it.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import {
  type KeyPair,
  makeAuthority,
  makeSigningKey,
  signCertificate,
  writeKubeconfig,
} from './kubeconfig.ts';
import { command, type Service, startService } from './process.ts';
import { readyUrl } from './ready.ts';
import { kubernetesPrograms } from './tools.ts';

/** A user that proves itself by a fixed bearer token. */
export type TokenUser = {
  readonly token: string;
  readonly name: string;
  readonly groups?: readonly string[];
};

export type ApiServerOptions = {
  /** Further flags of kube-apiserver, such as `--audit-log-path=…`. */
  readonly flags?: readonly string[];
  /** Users by bearer token. They are known from the start: the API server reads them once. */
  readonly tokens?: readonly TokenUser[];
};

export type ApiServer = {
  /** `https://127.0.0.1:PORT`. The port stays the same over {@link ApiServer.stopServing}. */
  readonly url: string;
  /** Kubeconfig file of an administrator. */
  readonly kubeconfig: string;
  /** PEM file of the authority that signed the server's certificate. */
  readonly authority: string;
  /** PEM files of the administrator's client certificate. */
  readonly admin: KeyPair;
  /** For files of the test's own; removed with the API server. */
  readonly directory: string;
  /** Makes a kubeconfig file for a user with these groups, by client certificate. */
  userKubeconfig(name: string, groups?: readonly string[]): Promise<string>;
  /** Makes a kubeconfig file for a bearer token of {@link ApiServerOptions.tokens} or of a service account. */
  tokenKubeconfig(token: string): Promise<string>;
  /** Runs kubectl as the administrator and returns what it printed. */
  kubectl(args: readonly string[], input?: string): Promise<string>;
  /** Takes the API server away and keeps etcd. SIGKILL cuts connections, SIGTERM is its graceful end. */
  stopServing(signal?: 'SIGKILL' | 'SIGTERM'): Promise<void>;
  /** Brings it back on the same port and waits until it is ready. */
  resumeServing(): Promise<void>;
  /** Connections stay open and nothing answers, from when it resolves. */
  freeze(): Promise<void>;
  /** Ends {@link ApiServer.freeze}. */
  thaw(): void;
  /** Stops both programs and removes the directory. */
  stop(): Promise<void>;
};

const directoryPrefix = 'mailrelay-api-';

/**
 * Starts etcd and an API server and waits until it is ready, about 3 s.
 *
 * @throws {Error} when a program is missing or fails to start, with the end of its log
 */
export async function startApiServer(options: ApiServerOptions = {}): Promise<ApiServer> {
  const programs = await kubernetesPrograms();
  await removeAbandoned();
  const directory = await mkdtemp(join(tmpdir(), `${directoryPrefix}${process.pid}-`));
  const etcd = await startService('etcd', etcdCommand(programs, directory), join(directory, 'etcd.log'));
  try {
    return await serve({ programs, directory, etcd, options });
  } catch (error) {
    await etcd.stop();
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

type Parts = {
  readonly programs: string;
  readonly directory: string;
  readonly etcd: Service;
  readonly options: ApiServerOptions;
};

async function serve({ programs, directory, etcd, options }: Parts): Promise<ApiServer> {
  const pki = join(directory, 'pki');
  const credentials = await makeCredentials(pki, options.tokens ?? []);
  const log = join(directory, 'kube-apiserver.log');
  const common = [...serverCommand(programs, directory), ...(options.flags ?? [])];
  const startServing = async (port: number): Promise<Service> => {
    const server = await startService('kube-apiserver', [...common, `--secure-port=${port}`], log);
    const starting = new AbortController();
    try {
      const target = {
        url: `https://127.0.0.1:${port}/readyz`,
        authority: credentials.authority,
        ...credentials.admin,
      };
      await Promise.race([readyUrl(target, { signal: starting.signal }), server.failed, etcd.failed]);
    } catch (error) {
      await server.stop();
      throw error;
    } finally {
      starting.abort();
    }
    return server;
  };
  const first = await onFreePort(startServing);
  const { port } = first;
  let server = first.server;

  const url = `https://127.0.0.1:${port}`;
  const { authority, admin } = credentials;
  const kubeconfig = join(directory, 'admin.kubeconfig');
  await writeKubeconfig(kubeconfig, { url, authority, credential: admin });
  let made = 0;
  const nextName = (): string => `user-${++made}`;
  return {
    url,
    kubeconfig,
    authority,
    admin,
    directory,
    userKubeconfig: async (name, groups = []) => {
      const file = nextName();
      const subject = `${groups.map(group => `/O=${group}`).join('')}/CN=${name}`;
      const credential = await signCertificate(pki, file, { subject });
      await writeKubeconfig(join(directory, file), { url, authority, credential });
      return join(directory, file);
    },
    tokenKubeconfig: async token => {
      const file = join(directory, nextName());
      await writeKubeconfig(file, { url, authority, credential: { token } });
      return file;
    },
    kubectl: async (args, input) => {
      const program = join(await kubernetesPrograms(), 'kubectl');
      const line = [program, '--kubeconfig', kubeconfig, ...args];
      return (await command(line, input === undefined ? {} : { input })).stdout;
    },
    stopServing: signal => server.stop(signal),
    resumeServing: async () => {
      server = await startServing(port);
    },
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    stop: async () => {
      await Promise.all([server.stop(), etcd.stop()]);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function makeCredentials(
  pki: string,
  tokens: readonly TokenUser[],
): Promise<{ authority: string; admin: KeyPair }> {
  await mkdir(pki);
  const [authority] = await Promise.all([
    makeAuthority(pki),
    makeSigningKey(join(pki, 'service-accounts.key')),
    writeFile(join(pki, 'tokens.csv'), tokens.map(tokenLine).join(''), { mode: 0o600 }),
  ]);
  const [admin] = await Promise.all([
    signCertificate(pki, 'admin', { subject: '/O=system:masters/CN=admin' }),
    signCertificate(pki, 'server', {
      subject: '/CN=kube-apiserver',
      names: ['DNS:localhost', 'IP:127.0.0.1'],
    }),
  ]);
  return { authority: authority.certificate, admin };
}

function tokenLine({ token, name, groups = [] }: TokenUser): string {
  return `${token},${name},${name},"${groups.join(',')}"\n`;
}

function etcdCommand(programs: string, directory: string): readonly string[] {
  const [clients, peers] = etcdSockets(directory);
  return [
    join(programs, 'etcd'),
    `--data-dir=${join(directory, 'etcd')}`,
    '--unsafe-no-fsync', // what it holds is worth nothing after the test
    '--log-level=warn',
    `--listen-client-urls=${clients}`,
    '--advertise-client-urls=http://localhost:2379', // must be given, must not be a socket, and nobody asks for it
    `--listen-peer-urls=${peers}`,
  ];
}

/** Unix sockets: no port to collide with another etcd. */
function etcdSockets(directory: string): [clients: string, peers: string] {
  return [`unix://${join(directory, 'etcd.sock')}`, `unix://${join(directory, 'peer.sock')}`];
}

function serverCommand(programs: string, directory: string): readonly string[] {
  const pki = join(directory, 'pki');
  return [
    join(programs, 'kube-apiserver'),
    `--etcd-servers=${etcdSockets(directory)[0]}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--tls-cert-file=${join(pki, 'server.crt')}`,
    `--tls-private-key-file=${join(pki, 'server.key')}`,
    `--client-ca-file=${join(pki, 'ca.crt')}`,
    `--token-auth-file=${join(pki, 'tokens.csv')}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(pki, 'service-accounts.key')}`,
    `--service-account-signing-key-file=${join(pki, 'service-accounts.key')}`,
    '--service-cluster-ip-range=10.91.0.0/16',
    '--authorization-mode=RBAC',
    '--allow-privileged',
    '--disable-admission-plugins=ServiceAccount', // no controller makes the accounts that it demands
  ];
}

/**
 * Finds a port below the range from which the kernel takes ports of outgoing
 * connections, so that nobody takes it while the API server is away.
 */
async function onFreePort(
  start: (port: number) => Promise<Service>,
): Promise<{ readonly port: number; readonly server: Service }> {
  for (let attempt = 1; ; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (!(await isFree(port))) continue;
    try {
      return { port, server: await start(port) };
    } catch (error) {
      const taken = error instanceof Error && /address already in use/.test(error.message);
      if (!taken || attempt === 3) throw error;
    }
  }
}

function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once('error', () => resolve(false));
  server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  return promise;
}

/** Removes what test processes left behind that were killed. Their programs died with them. */
async function removeAbandoned(): Promise<void> {
  const names = (await readdir(tmpdir())).filter(name => name.startsWith(directoryPrefix));
  for (const name of names) {
    const pid = Number(name.slice(directoryPrefix.length).split('-')[0]);
    if (!isAlive(pid)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
