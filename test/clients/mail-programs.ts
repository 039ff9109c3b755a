/** Mail programs that no one here wrote, and how each is told to hand over a file. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

/** What a program is to hand over, and to whom. */
export interface Mail {
  readonly port: number;
  readonly secure: boolean;
  readonly recipients: readonly string[];
  readonly file: string;
  /** PEM of the authority to trust. */
  readonly caFile: string;
}

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
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

/** Command lines of the programs; secure = STARTTLS and the account `app`, `pass word`. */
export const MAIL_PROGRAMS: Readonly<Record<string, (mail: Mail) => Command>> = {
  swaks: ({ port, secure, recipients, file }) => ({
    program: 'swaks',
    args: [
      ...['--server', `127.0.0.1:${port}`, '--from', 'a@example.com', '--to', recipients.join(',')],
      ...['--data', `@${file}`, '--helo', 'client.test', '--timeout', '20', '--silent', '1'],
      ...(secure ? ['--tls', '--auth', 'LOGIN', '--auth-user', 'app', '--auth-password', 'pass word'] : []),
    ],
  }),
  python3: ({ port, secure, recipients, file, caFile }) => ({
    program: 'python3',
    args: ['-c', python, String(port), secure ? 'yes' : 'no', caFile, file, ...recipients],
  }),
  curl: ({ port, secure, recipients, file, caFile }) => ({
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
  msmtp: ({ port, secure, recipients, file, caFile }) => ({
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

/** Runs it to its end; rejects with what it printed when it fails. */
export async function runProgram({ program, args }: Command): Promise<void> {
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
