/** Self-signed certificates for tests, made by openssl on the spot. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** When a certificate ends as openssl reads it, in the form of Date.toUTCString. */
export function endOf(certificate: string): string {
  const args = ['x509', '-noout', '-enddate'];
  const said = execFileSync('openssl', args, { input: certificate, encoding: 'utf8' });
  return new Date(said.trim().replace('notAfter=', '')).toUTCString();
}

export function certificateFor(name: string): { readonly certificate: string; readonly key: string } {
  const directory = mkdtempSync(join(tmpdir(), 'mailrelay-cert-'));
  try {
    const [certificate, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
    const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
    const args = ['req', '-x509', ...kind, '-subj', `/CN=${name}`, '-keyout', key, '-out', certificate];
    execFileSync('openssl', args, { stdio: 'ignore' });
    return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
