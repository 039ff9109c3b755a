/**
 * Programs that no one here wrote hand mail to the listener: in clear, with
 * STARTTLS and a password, a big one, to several recipients.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { authorityCertificate, makeCertificate, openRig, type Rig } from '../unit/inbound/harness.ts';

const directory = mkdtempSync(join(tmpdir(), 'mailrelay-clients-'));
after(() => rmSync(directory, { recursive: true }));
const caFile = join(directory, 'ca.pem');
writeFileSync(caFile, authorityCertificate);

const head =
  'From: Test <a@example.com>\r\nTo: b@example.net\r\nSubject: dots\r\nDate: Mon, 02 Nov 2026 00:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n';
const small = `${head}.one\r\n..two\r\n.\r\nend\r\n`;
const big = `${head}${'.0123456789 the quick brown fox jumps over the lazy dog\r\n'.repeat(60_000)}`;

interface Mail {
  readonly port: number;
  readonly secure: boolean;
  readonly recipients: readonly string[];
  readonly file: string;
}

interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly input?: string;
}

const python = `
import smtplib, ssl, sys
port, secure, ca, path, *recipients = sys.argv[1:]
with smtplib.SMTP('127.0.0.1', int(port), timeout=20) as client:
    if secure == 'yes':
        client.starttls(context=ssl.create_default_context(cafile=ca))
        client.login('app', 'pass word')
    client.sendmail('a@example.com', recipients, open(path, 'rb').read())
`;

const clients: Readonly<Record<string, (mail: Mail) => Command>> = {
  swaks: ({ port, secure, recipients, file }) => ({
    program: 'swaks',
    args: [
      ...['--server', `127.0.0.1:${port}`, '--from', 'a@example.com', '--to', recipients.join(',')],
      ...['--data', `@${file}`, '--helo', 'client.test', '--timeout', '20', '--silent', '1'],
      ...(secure ? ['--tls', '--auth', 'LOGIN', '--auth-user', 'app', '--auth-password', 'pass word'] : []),
    ],
  }),
  python3: ({ port, secure, recipients, file }) => ({
    program: 'python3',
    args: ['-c', python, String(port), secure ? 'yes' : 'no', caFile, file, ...recipients],
  }),
  curl: ({ port, secure, recipients, file }) => ({
    program: 'curl',
    args: [
      ...['--silent', '--show-error', '--max-time', '20', `smtp://127.0.0.1:${port}/client.test`],
      ...[
        '--mail-from',
        'a@example.com',
        ...recipients.flatMap(to => ['--mail-rcpt', to]),
        '--upload-file',
        file,
      ],
      ...(secure ? ['--ssl-reqd', '--cacert', caFile, '--user', 'app:pass word'] : []),
    ],
  }),
  msmtp: ({ port, secure, recipients, file }) => ({
    program: 'sh',
    args: [
      '-c',
      `msmtp --host=127.0.0.1 --port=${port} --from=a@example.com --domain=client.test --timeout=20 ${
        secure
          ? `--tls=on --tls-starttls=on --tls-trust-file=${caFile} --auth=plain --user=app --passwordeval='echo "pass word"'`
          : '--tls=off --auth=off'
      } -- ${recipients.join(' ')} < ${file}`,
    ],
  }),
};

function isInstalled(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

async function run({ program, args }: Command): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', text => {
    output += text;
  });
  child.stderr.on('data', text => {
    output += text;
  });
  const status = await new Promise(resolve => child.on('close', resolve));
  assert.equal(status, 0, output.slice(0, 4000));
}

/** What the client was given must be what is stored, behind our one field. */
function verify(rig: Rig, content: string, recipients: readonly string[], protocol: string): void {
  const [stored] = rig.spool.stored;
  assert.ok(stored, 'nothing was stored');
  const [received] = /^Received: [^\r]*\r\n(?:\t[^\r]*\r\n)*/.exec(stored.body) ?? [''];
  assert.match(received, new RegExp(` with ${protocol} id `));
  // Some clients add a line end of their own at the end.
  assert.equal(stored.body.slice(received.length).trimEnd(), content.trimEnd());
  assert.deepEqual(stored.arrival.envelope.recipients, recipients);
  assert.equal(stored.arrival.envelope.sender, 'a@example.com');
  assert.equal(rig.spool.open, 0);
}

for (const [name, command] of Object.entries(clients)) {
  const skip = isInstalled(name) ? false : `${name} is not installed`;
  describe(name, { skip }, () => {
    const deliver = async (
      content: string,
      recipients: readonly string[],
      secure: boolean,
    ): Promise<void> => {
      await using rig = await openRig({
        maxMessageBytes: 10_000_000,
        tls: makeCertificate('client.test'),
        accounts: [{ username: 'app', password: 'pass word' }],
        requireAuth: secure,
      });
      const file = join(directory, `${name}.eml`);
      writeFileSync(file, content);
      await run(command({ port: rig.listener.address.port, secure, recipients, file }));
      verify(rig, content, recipients, secure ? 'ESMTPSA' : 'ESMTP');
    };

    test('hands over a plain message with dots', () => deliver(small, ['b@example.net'], false));
    test('authenticates over STARTTLS', () => deliver(small, ['b@example.net'], true));
    test('hands over a big message', () => deliver(big, ['b@example.net'], false));
    test('reaches several recipients', () =>
      deliver(small, ['b@example.net', 'c@example.net', 'D@example.net'], false));
  });
}
