/**
 * Postfix from Debian's package, with Cyrus SASL, run from a directory of its
 * own: its main.cf names every place that would otherwise be the machine's.
 */
import { execFile } from 'node:child_process';
import { chmod, chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Kind, MAX_BYTES, PASSWORD, type Place, USER } from './real-provider.ts';
import { isInstalled, Tethered } from './tethered.ts';

const run = promisify(execFile);
const DAEMONS = '/usr/lib/postfix/sbin';
const DOMAIN = 'postfix.test';

function mainCf({ directory }: Place): string {
  return `
compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = ${DAEMONS}
queue_directory = ${directory}/queue
data_directory = ${directory}/data
maillog_file = ${directory}/log
maillog_file_prefixes = ${directory}
myhostname = ${DOMAIN}
mydestination =
mynetworks = 127.0.0.2/32
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
alias_database =
notify_classes =
message_size_limit = ${MAX_BYTES}
virtual_mailbox_limit = 0
virtual_mailbox_domains = example.net
virtual_mailbox_base = ${directory}/mail
virtual_mailbox_maps = regexp:${directory}/mailboxes
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
smtpd_tls_cert_file = ${directory}/server.pem
smtpd_tls_key_file = ${directory}/server.key
smtpd_tls_auth_only = yes
smtpd_sasl_auth_enable = yes
smtpd_sasl_path = smtpd
smtpd_sasl_local_domain = ${DOMAIN}
cyrus_sasl_config_path = ${directory}/sasl
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_client_restrictions = permit_sasl_authenticated, reject
smtputf8_enable = yes
`;
}

/** master.cf: private, unprivileged, chroot, wake-up time, most processes, command. */
const masterCf = ({ startTls, implicitTls }: Place): string => `
127.0.0.1:${startTls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
127.0.0.1:${implicitTls} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes -o smtpd_tls_security_level=encrypt
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
flush unix n - n 1000? 0 flush
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`;

const QUEUES = [
  'incoming',
  'active',
  'deferred',
  'bounce',
  'defer',
  'flush',
  'trace',
  'hold',
  'corrupt',
  'saved',
  'private',
  'public',
];

async function idOf(option: '-u' | '-g', name: string): Promise<number> {
  const { stdout } = await (option === '-u' ? run('id', ['-u', name]) : run('getent', ['group', name]));
  return Number(option === '-u' ? stdout : stdout.split(':')[2]);
}

async function makeQueue(directory: string): Promise<void> {
  const owner = await idOf('-u', 'postfix');
  const dropGroup = await idOf('-g', 'postdrop');
  await mkdir(join(directory, 'queue'));
  for (const name of QUEUES) {
    const queue = join(directory, 'queue', name);
    await mkdir(queue, { mode: 0o700 });
    await chown(queue, owner, name === 'public' ? dropGroup : 0);
    if (name === 'public') await chmod(queue, 0o710);
  }
  await mkdir(join(directory, 'queue/pid'));
  for (const name of ['data', 'mail']) await mkdir(join(directory, name));
  await chown(join(directory, 'data'), owner, 0);
  await chown(join(directory, 'mail'), 65534, 65534);
  await chmod(directory, 0o755);
}

async function makeAccount(directory: string): Promise<void> {
  const database = join(directory, 'sasldb2');
  const child = run('saslpasswd2', ['-p', '-c', '-f', database, '-u', DOMAIN, USER]);
  child.child.stdin?.end(PASSWORD);
  await child;
  await chown(database, await idOf('-u', 'postfix'), 0);
  await mkdir(join(directory, 'sasl'));
  await writeFile(
    join(directory, 'sasl/smtpd.conf'),
    `pwcheck_method: auxprop\nauxprop_plugin: sasldb\nsasldb_path: ${database}\nmech_list: PLAIN LOGIN\n`,
  );
}

export const postfix: Kind = {
  name: 'postfix',

  missing() {
    if (process.getuid?.() !== 0) return 'Postfix needs root';
    const absent = ['postconf', 'saslpasswd2'].filter(program => !isInstalled(program));
    return absent.length === 0 ? undefined : `${absent.join(', ')} not installed`;
  },

  async prepare(place) {
    const { directory } = place;
    await makeQueue(directory);
    await makeAccount(directory);
    await writeFile(join(directory, 'main.cf'), mainCf(place));
    await writeFile(join(directory, 'master.cf'), masterCf(place));
    await writeFile(join(directory, 'mailboxes'), 'if !/^unknown/\n/@example\\.net$/ box/\nendif\n');
  },

  run: ({ directory }) =>
    new Tethered(join(DAEMONS, 'master'), ['-c', directory, '-d'], { MAIL_CONFIG: directory }),

  log: ({ directory }) => readFile(join(directory, 'log'), 'utf8').catch(() => ''),
};
