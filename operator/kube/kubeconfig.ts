/**
 * Reads kubeconfig files: clusters, users and contexts, inline data or files, client certificates and tokens.
 * Of several files the first to name something wins, as with kubectl. What would need another program or hop
 * (exec and auth-provider plugins, proxies, impersonation, basic authentication) is refused with a clear error:
 * the operator runs in the cluster, and outside it `kubectl create token` gives a token to put there.
 */
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import * as z from 'zod';
import { type Connection, ConnectionConfigError, type TlsSettings, type TokenSource } from './identity.ts';
import { fileToken, fixedToken } from './token.ts';

const clusterSchema = z.looseObject({
  server: z.string().regex(/^https?:\/\/[^/]/, 'must be an http:// or https:// URL'),
  'certificate-authority': z.string().optional(),
  'certificate-authority-data': z.string().optional(),
  'insecure-skip-tls-verify': z.boolean().optional(),
  'tls-server-name': z.string().optional(),
  'proxy-url': z.string().optional(),
});
const userSchema = z.looseObject({
  'client-certificate': z.string().optional(),
  'client-certificate-data': z.string().optional(),
  'client-key': z.string().optional(),
  'client-key-data': z.string().optional(),
  token: z.string().optional(),
  tokenFile: z.string().optional(),
});
const contextSchema = z.looseObject({
  cluster: z.string(),
  user: z.string().optional(),
  namespace: z.string().optional(),
});
const fileSchema = z.looseObject({
  clusters: z.array(z.object({ name: z.string(), cluster: z.unknown() })).nullish(),
  users: z.array(z.object({ name: z.string(), user: z.unknown() })).nullish(),
  contexts: z.array(z.object({ name: z.string(), context: z.unknown() })).nullish(),
  'current-context': z.string().nullish(),
});

type Section = 'cluster' | 'user' | 'context';

/** A named entry, and the file it came from: paths inside it are relative to that file. */
interface Entry<T = unknown> {
  name: string;
  file: string;
  /** For messages: file, section, name. */
  where: string;
  value: T;
}

const unsupportedUser: Record<string, string> = {
  exec: 'credential plugins are not run; put a token there (kubectl create token), or run in the cluster',
  'auth-provider':
    'auth providers are not run; put a token there (kubectl create token), or run in the cluster',
  username: 'basic authentication is not supported; use a token or a client certificate',
  as: 'impersonation is not supported; use a user with the rights itself',
};

/** Throws ConnectionConfigError naming file and field. */
export async function loadKubeconfig(files: readonly string[], wanted?: string): Promise<Connection> {
  const parsed = await Promise.all(files.map(readKubeconfig));
  const current = wanted ?? parsed.map(file => file.current).find(Boolean);
  if (!current)
    throw new ConnectionConfigError(`${files.join(', ')}: current-context is not set; name a context`);
  const entries = parsed.flatMap(file => file.entries);
  const context = pick(entries, 'context', current, contextSchema).value;
  const cluster = pick(entries, 'cluster', context.cluster, clusterSchema);
  const user = context.user ? pick(entries, 'user', context.user, userSchema) : undefined;
  if (cluster.value['proxy-url']) {
    throw new ConnectionConfigError(`${cluster.where}: proxy-url is not supported; use a direct address`);
  }
  const token = user && tokenOf(user);
  const readTls = async () => ({ ...(await clusterTls(cluster)), ...(user && (await clientTls(user))) });
  return {
    server: cluster.value.server.replace(/\/+$/, ''),
    namespace: context.namespace || 'default',
    tls: await readTls(),
    ...(token && { token }),
    reloadTls: readTls,
  };
}

async function readKubeconfig(file: string) {
  const result = fileSchema.safeParse(await readYaml(file));
  if (!result.success) throw new ConnectionConfigError(`${file}: ${z.prettifyError(result.error)}`);
  const { clusters, users, contexts, 'current-context': current } = result.data;
  const entry = (section: Section, name: string, value: unknown): Entry & { section: Section } => ({
    section,
    name,
    file,
    where: `${file}: ${section} "${name}"`,
    value,
  });
  const entries = [
    ...(clusters ?? []).map(item => entry('cluster', item.name, item.cluster)),
    ...(users ?? []).map(item => entry('user', item.name, item.user)),
    ...(contexts ?? []).map(item => entry('context', item.name, item.context)),
  ];
  return { current: current ?? undefined, entries };
}

async function readYaml(file: string): Promise<unknown> {
  try {
    return parse(await readFile(file, 'utf8')) ?? {};
  } catch (error) {
    throw new ConnectionConfigError(`kubeconfig ${file} cannot be read: ${(error as Error).message}`);
  }
}

function pick<T>(
  entries: readonly (Entry & { section: Section })[],
  section: Section,
  name: string,
  schema: z.ZodType<T>,
): Entry<T> {
  const ofSection = entries.filter(entry => entry.section === section);
  const found = ofSection.find(entry => entry.name === name);
  if (!found) {
    const names = ofSection.map(entry => entry.name).join(', ') || 'none';
    throw new ConnectionConfigError(`kubeconfig has no ${section} "${name}" (there are: ${names})`);
  }
  const result = schema.safeParse(found.value ?? {});
  if (!result.success) throw new ConnectionConfigError(`${found.where}: ${z.prettifyError(result.error)}`);
  return { ...found, value: result.data };
}

async function clusterTls(cluster: Entry<z.infer<typeof clusterSchema>>): Promise<TlsSettings> {
  const ca = await material(cluster, 'certificate-authority');
  const serverName = cluster.value['tls-server-name'];
  const insecureSkipVerify = cluster.value['insecure-skip-tls-verify'] ?? false;
  if (ca && insecureSkipVerify) {
    throw new ConnectionConfigError(
      `${cluster.where}: certificate-authority and insecure-skip-tls-verify exclude each other`,
    );
  }
  return { ...(ca && { ca }), ...(serverName && { serverName }), insecureSkipVerify };
}

async function clientTls(user: Entry<z.infer<typeof userSchema>>): Promise<TlsSettings> {
  const cert = await material(user, 'client-certificate');
  const key = await material(user, 'client-key');
  if (Boolean(cert) !== Boolean(key)) {
    throw new ConnectionConfigError(
      `${user.where}: client-certificate and client-key must be given together`,
    );
  }
  return cert && key ? { cert, key } : {};
}

function tokenOf(user: Entry<z.infer<typeof userSchema>>): TokenSource | undefined {
  for (const [field, why] of Object.entries(unsupportedUser)) {
    if (user.value[field]) throw new ConnectionConfigError(`${user.where}: ${field}: ${why}`);
  }
  // client-go's order: the file wins, because it is the one that can be renewed.
  if (user.value.tokenFile) return fileToken(resolve(dirname(user.file), user.value.tokenFile));
  return user.value.token ? fixedToken(user.value.token) : undefined;
}

/** PEM text from `<field>-data` (base64, wins) or from the file that `field` names. */
async function material(entry: Entry<Record<string, unknown>>, field: string): Promise<string | undefined> {
  const inline = entry.value[`${field}-data`];
  if (typeof inline === 'string' && inline) {
    const text = Buffer.from(inline, 'base64').toString('utf8');
    if (text.includes('-----BEGIN')) return text;
    throw new ConnectionConfigError(`${entry.where}: ${field}-data must be base64 of PEM`);
  }
  const path = entry.value[field];
  if (typeof path !== 'string' || !path) return undefined;
  const file = resolve(dirname(entry.file), path);
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new ConnectionConfigError(`${entry.where}: ${field} cannot be read: ${(error as Error).message}`);
  }
}
