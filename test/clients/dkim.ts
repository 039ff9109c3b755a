/**
 * DKIM signatures (RFC 6376) made and verified by programs that no one here
 * wrote: nodemailer signs, Debian's dkimpy signs and verifies. The public key
 * is handed over in place of DNS.
 */
import { execFile } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { promisify } from 'node:util';
import nodemailer from 'nodemailer';

/** Debian's own, which has Debian's modules. */
const PYTHON = '/usr/bin/python3';
const SELECTOR = 'test';
const DOMAIN = 'example.com';

const run = promisify(execFile);

const KEYS = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'der' },
  privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
});
const RECORD = `v=DKIM1; k=rsa; p=${KEYS.publicKey.toString('base64')}`;

export type Canonicalization = 'simple/simple' | 'relaxed/relaxed' | 'simple/relaxed' | 'relaxed/simple';

const SIGN = `
import dkim, os, sys
head, body = [one.encode() for one in sys.argv[1].split('/')]
mail = sys.stdin.buffer.read()
names = [b'from', b'to', b'subject', b'date', b'message-id', b'mime-version', b'content-type']
sys.stdout.buffer.write(dkim.sign(mail, b'${SELECTOR}', b'${DOMAIN}', os.environ['KEY'].encode(),
    canonicalize=(head, body), include_headers=names) + mail)
`;

const VERIFY = `
import dkim, os, sys
mail = sys.stdin.buffer.read()
def lookup(name, timeout=5):
    return os.environ['RECORD'].encode() if name == b'${SELECTOR}._domainkey.${DOMAIN}.' else None
try:
    good = dkim.DKIM(mail).verify(dnsfunc=lookup)
except dkim.DKIMException as error:
    good = str(error)
print('good' if good is True else 'bad: %s' % good)
`;

async function python(script: string, args: readonly string[], input: Buffer): Promise<Buffer> {
  const running = run(PYTHON, ['-c', script, ...args], {
    encoding: 'buffer',
    maxBuffer: 100_000_000,
    env: { ...process.env, KEY: KEYS.privateKey, RECORD },
  });
  running.child.stdin?.end(input);
  return (await running).stdout;
}

/** Why dkimpy cannot be used here. */
export async function dkimMissing(): Promise<string | undefined> {
  const imported = run(PYTHON, ['-c', 'import dkim']);
  return imported.then(
    () => undefined,
    () => 'python3-dkim is not installed',
  );
}

/** The message with dkimpy's signature in front. */
export const sign = (mail: Buffer, canonicalization: Canonicalization): Promise<Buffer> =>
  python(SIGN, [canonicalization], mail);

/** What dkimpy says of the signature: `good`, or `bad: ` and why. */
export const verify = async (mail: Buffer): Promise<string> =>
  (await python(VERIFY, [], mail)).toString().trim();

/** Sends a multipart message with an attachment through nodemailer, which signs it. */
export async function sendSigned(port: number, subject: string): Promise<void> {
  const transport = nodemailer.createTransport({
    host: '127.0.0.1',
    port,
    ignoreTLS: true,
    dkim: { domainName: DOMAIN, keySelector: SELECTOR, privateKey: KEYS.privateKey },
  });
  await transport.sendMail({
    from: 'Größe <app@example.com>',
    to: 'someone@example.net',
    subject,
    text: '.\n..dots\n\nGrüße\n\n\n',
    html: `<p>${'long '.repeat(400)}</p>`,
    attachments: [
      { filename: 'bytes.bin', content: Buffer.from(Uint8Array.from({ length: 5000 }, (_, i) => i)) },
    ],
  });
  transport.close();
}
