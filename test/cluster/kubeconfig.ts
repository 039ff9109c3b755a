/**
 * Certificates, keys and kubeconfig files of a test cluster. Everything is made
 * with openssl in one directory, lives as long as the cluster does and is good
 * for nothing else.
 */
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { stringify } from 'yaml';

const run = promisify(execFile);

/** A certificate and its key, each as the path of a PEM file. */
export type KeyPair = { readonly certificate: string; readonly key: string };

/** How a user of a cluster proves who it is: by client certificate or by bearer token. */
export type Credential = KeyPair | { readonly token: string };

const newEcKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
const lifetime = ['-days', '30'];

function paths(directory: string, name: string): KeyPair {
  return { certificate: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
}

/** Makes the authority that signs all other certificates of a cluster. */
export async function makeAuthority(directory: string): Promise<KeyPair> {
  const authority = paths(directory, 'ca');
  await run('openssl', [
    ...['req', '-x509', ...newEcKey, ...lifetime, '-subj', '/CN=test-authority'],
    ...['-keyout', authority.key, '-out', authority.certificate],
  ]);
  return authority;
}

/**
 * Signs a certificate for clients and servers.
 *
 * @param subject openssl's notation, such as `/O=group/CN=user`; for Kubernetes O is a group and CN the user
 * @param names alternative names in openssl's notation, such as `IP:127.0.0.1`
 */
export async function signCertificate(
  directory: string,
  name: string,
  { subject, names = ['DNS:localhost'] }: { subject: string; names?: readonly string[] },
): Promise<KeyPair> {
  const authority = paths(directory, 'ca');
  const pair = paths(directory, name);
  await run('openssl', [
    ...['req', '-x509', ...newEcKey, ...lifetime, '-subj', subject],
    ...['-CA', authority.certificate, '-CAkey', authority.key, '-keyout', pair.key, '-out', pair.certificate],
    ...['-addext', `subjectAltName=${names.join(',')}`, '-addext', 'basicConstraints=critical,CA:FALSE'],
    ...['-addext', 'extendedKeyUsage=serverAuth,clientAuth'],
  ]);
  return pair;
}

/** Makes the key with which the API server signs service account tokens. */
export async function makeSigningKey(file: string): Promise<void> {
  await run('openssl', ['ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', file]);
}

/** Writes a kubeconfig with one cluster, one user and one context, all named `test`. */
export async function writeKubeconfig(
  file: string,
  { url, authority, credential }: { url: string; authority: string; credential: Credential },
): Promise<void> {
  const user =
    'token' in credential
      ? { token: credential.token }
      : { 'client-certificate': credential.certificate, 'client-key': credential.key };
  const content = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: url, 'certificate-authority': authority } }],
    users: [{ name: 'test', user }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  };
  await writeFile(file, stringify(content), { mode: 0o600 });
}
