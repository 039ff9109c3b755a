/**
 * Exim from Debian's package, unpacked rather than installed because Debian
 * allows one mail server at a time (test/setup/exim.sh). It is run in a mount
 * namespace where the account it insists on exists.
 */
import { spawnSync } from 'node:child_process';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kind, MAX_BYTES, PASSWORD, type Place, USER } from './real-provider.ts';
import { isInstalled, Tethered } from './tethered.ts';

const SETUP = fileURLToPath(new URL('../setup/exim.sh', import.meta.url));
const ID = 64_000;
const ACCOUNT = 'Debian-exim';

/** The program's path, or why there is none. Unpacks it the first time. */
const found = { program: '', trouble: '' };

function look(): void {
  if (found.program !== '' || found.trouble !== '') return;
  const { status, stdout, stderr } = spawnSync('bash', [SETUP], { encoding: 'utf8', timeout: 120_000 });
  if (status === 0) found.program = stdout.trim();
  else found.trouble = stderr.trim().split('\n').at(-1) || 'Exim could not be unpacked';
}

const configuration = ({ directory, startTls, implicitTls }: Place): string => `
exim_path = ${found.program}
spool_directory = ${directory}/spool
log_file_path = ${directory}/log/%slog
pid_file_path = ${directory}/spool/pid
keep_environment =
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = ${startTls} : ${implicitTls}
tls_on_connect_ports = ${implicitTls}
tls_advertise_hosts = *
tls_certificate = ${directory}/server.pem
tls_privatekey = ${directory}/server.key
auth_advertise_hosts = \${if eq{$tls_in_cipher}{}{}{*}}
smtputf8_advertise_hosts = *
pipelining_advertise_hosts = *
message_size_limit = ${MAX_BYTES}
smtp_accept_max = 100
smtp_accept_queue_per_connection = 0
deliver_drop_privilege = true
never_users =
log_selector = +smtp_connection +received_recipients
acl_smtp_rcpt = rcpt
acl_smtp_data = data
domainlist ours = example.net

begin acl
rcpt:
  deny !authenticated = *
       message = 5.7.1 authentication required
  deny local_parts = ^unknown
       message = 5.1.1 no such mailbox
  accept domains = +ours
  deny message = 5.7.1 relaying denied
data:
  accept

begin routers
all:
  driver = accept
  domains = +ours
  transport = box

begin transports
box:
  driver = appendfile
  directory = ${directory}/mail/box
  maildir_format
  create_directory
  envelope_to_add
  return_path_add

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_condition = \${if and{{eq{$auth2}{${USER}}}{eq{$auth3}{${PASSWORD}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = \${if and{{eq{$auth1}{${USER}}}{eq{$auth2}{${PASSWORD}}}}}
  server_set_id = $auth1
`;

/** Binds an /etc/passwd and an /etc/group with the account over the machine's, for its processes alone. */
const ENTER =
  'mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group && shift && exec "$@"';

export const exim: Kind = {
  name: 'exim',

  missing() {
    if (process.getuid?.() !== 0) return 'Exim needs root';
    if (!isInstalled('unshare')) return 'unshare is not installed';
    if (spawnSync('unshare', ['-m', 'true']).status !== 0) return 'no mount namespace can be made';
    look();
    return found.trouble === '' ? undefined : found.trouble;
  },

  async prepare(place) {
    look();
    if (found.trouble !== '') throw new Error(found.trouble);
    const { directory } = place;
    const [passwd, group] = await Promise.all(
      ['passwd', 'group'].map(name => readFile(`/etc/${name}`, 'utf8')),
    );
    await writeFile(
      join(directory, 'passwd'),
      `${passwd}${ACCOUNT}:x:${ID}:${ID}::/nonexistent:/usr/sbin/nologin\n`,
    );
    await writeFile(join(directory, 'group'), `${group}${ACCOUNT}:x:${ID}:\n`);
    for (const name of ['spool', 'log', 'mail']) {
      await mkdir(join(directory, name));
      await chown(join(directory, name), ID, ID);
    }
    await chmod(directory, 0o755);
    for (const name of ['server.pem', 'server.key']) await chown(join(directory, name), ID, ID);
    await writeFile(join(directory, 'exim.conf'), configuration(place));
  },

  run: ({ directory }) =>
    new Tethered('unshare', [
      ...['-m', 'sh', '-c', ENTER, 'enter', directory],
      ...[found.program, '-C', join(directory, 'exim.conf'), '-bdf'],
    ]),

  log: ({ directory }) => readFile(join(directory, 'log/mainlog'), 'utf8').catch(() => ''),
};
