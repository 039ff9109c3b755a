import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { serveAdmin } from '../../../relay/admin/admin-server.ts';
import { runProgram } from '../../../relay/admin/cli/program.ts';
import type { HttpEndpoint } from '../../../relay/admin/http.ts';
import type { ReloadResult } from '../../../relay/admin/view.ts';
import { baseTime, FakeQueue } from './fake-queue.ts';

const script = new URL('./command-line.ts', import.meta.url).pathname;

let queue: FakeQueue;
let endpoint: HttpEndpoint;
let directory: string;
let reloadResult: ReloadResult = { ok: true, fingerprint: 'abc', warnings: [] };

before(async () => {
  const forward = new Proxy({} as FakeQueue, {
    get: (_, name) => (queue[name as keyof FakeQueue] as (...args: unknown[]) => unknown).bind(queue),
  });
  endpoint = await serveAdmin({
    port: 0,
    now: () => baseTime,
    operations: {
      queue: forward,
      changed: (operation, count) => queue.changed.push({ operation, count }),
      reload: async () => reloadResult,
      verify: async () => [
        { provider: 'p', host: 'h', port: 25, ok: true, message: 'asked the relay', durationMs: 3 },
      ],
    },
  });
  directory = await mkdtemp(join(tmpdir(), 'command-line-'));
});
beforeEach(() => {
  queue = new FakeQueue();
});
after(async () => {
  await endpoint.close();
  await rm(directory, { recursive: true });
});

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command line as a process of its own, in an empty directory unless told otherwise. */
function mailrelay(...args: string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.on('error', reject);
    child.on('close', code => resolve({ code, stdout, stderr }));
  });
}

/** The same without a process, for the many ways to hold it wrong. */
async function inThisProcess(...args: string[]): Promise<Ended> {
  const written = { stdout: '', stderr: '' };
  const output = (name: keyof typeof written) => ({
    write: (text: string | Uint8Array) => {
      written[name] += text;
    },
  });
  const terminal = { stdout: output('stdout'), stderr: output('stderr'), env: {}, now: () => baseTime };
  const handlers = { version: '1', run: () => Promise.resolve(0), verify: () => Promise.resolve([]) };
  return { code: await runProgram(args, handlers, terminal), ...written };
}

/** The same with the address of the test's server. */
const asking = (...args: string[]) => mailrelay(...args, '--admin-port', String(endpoint.port));

const config = (extra: object = {}) => ({
  forwardProviders: [{ name: 'primary', host: 'smtp.primary.com', port: 587, username: 'u', password: 'p' }],
  ...extra,
});

async function file(name: string, content: unknown): Promise<string> {
  const path = join(directory, name);
  await writeFile(
    path,
    typeof content === 'string' || Buffer.isBuffer(content) ? content : JSON.stringify(content),
  );
  return path;
}

/** The program itself in a shell. */
function shell(line: string): Promise<Ended> {
  return new Promise(resolve => {
    const mailrelay = `${process.execPath} ${join(import.meta.dirname, '../../../relay/main.ts')}`;
    const script = `set -o pipefail; ${line.replace('mailrelay', mailrelay)}`;
    execFile('bash', ['-c', script], { cwd: directory }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code as unknown as number), stdout, stderr }),
    );
  });
}

describe('standard output', () => {
  test('that cannot be written is a failure, not a result that looks whole', async () => {
    const path = await file('full.json', config());
    const { code, stderr } = await shell(`mailrelay check --config ${path} > /dev/full`);
    assert.equal(code, 1);
    assert.match(stderr, /^standard output was not written: .*ENOSPC/);
  });

  test('whose reader has gone is none', async () => {
    const path = await file('gone.json', config());
    assert.deepEqual(await shell(`mailrelay check --config ${path} | true`), {
      code: 0,
      stdout: '',
      stderr: '',
    });
  });
});

describe('usage', () => {
  test('--version says the version, --help the commands, both with exit 0', async () => {
    const [version, help] = await Promise.all([mailrelay('--version'), mailrelay('--help')]);
    assert.deepEqual(version, { code: 0, stdout: '1.2.3\n', stderr: '' });
    assert.equal(help.code, 0);
    for (const name of ['run', 'check', 'verify', 'reload', 'queue', 'convert'])
      assert.match(help.stdout, new RegExp(`^ +${name} `, 'm'));
  });

  const wrong: [string[], RegExp][] = [
    [['qeueu'], /unknown command 'qeueu'\n\(Did you mean queue\?\)/],
    [['queue', 'lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
    [['queue', 'list', '--staet', 'dead'], /unknown option '--staet'\n\(Did you mean --state\?\)/],
    [['queue', 'list', '--state', 'lost'], /Allowed choices are active, failed, held, dead/],
    [['queue', 'list', '--older-than', 'soon'], /It must be a number and a unit/],
    [['queue', 'list', '--limit', '1001'], /It must be 1 to 1000/],
    [['queue', 'list', '--admin-port', '0'], /--admin-port must be 1 to 65535, not 0/],
    [['queue', 'list', '--admin', 'ftp://x'], /--admin must be an address like/],
    [['queue', 'list', '--admin-port', '1', '--config', 'x'], /cannot be used with/],
    [['queue', 'resend'], /choose messages by id, .* or say --all/],
    [['queue', 'delete', '--all'], /deleting more than one message needs --yes/],
    [['queue', 'delete', '00000000000000001'], /deleting without a terminal needs --yes/],
    [
      ['queue', 'list', '--config', 'absent.json'],
      /^adminPort cannot be read: absent\.json: cannot be read: no such file/,
    ],
    [
      ['queue', 'list', '--config', '/dev/null'],
      /^adminPort cannot be read: \/dev\/null: must be a regular file/,
    ],
    [['run', '--log-format', 'xml'], /Allowed choices are json, text/],
    [[], /Usage: mailrelay/],
  ];
  for (const [args, message] of wrong) {
    test(`mailrelay ${args.join(' ')} ends with 2 and says what is allowed`, async () => {
      const { code, stderr } = await inThisProcess(...args);
      assert.equal(code, 2);
      assert.match(stderr, message);
    });
  }

  test('a relay that does not run is named in a sentence, exit 1', async () => {
    const { port } = await freePort();
    const { code, stderr } = await mailrelay('queue', 'list', '--admin-port', String(port));
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `no relay listens on the admin port 127.0.0.1:${port}: start it, or name its port with --config or --admin-port\n`,
    );
  });

  test('something else on that port is shown with its own words', async () => {
    const other: Server = createServer((_, response) => response.writeHead(418).end('I am a teapot'));
    await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as AddressInfo;
    const { code, stderr } = await mailrelay('queue', 'list', '--admin-port', String(port));
    other.close();
    assert.equal(code, 1);
    assert.equal(stderr, 'the relay refused (418): I am a teapot\n');
  });
});

async function freePort(): Promise<{ port: number }> {
  const server = createServer();
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise(resolve => server.close(resolve));
  return { port };
}

describe('run, check, verify, reload', () => {
  test('run passes its options on and ends with the code it is given', async () => {
    const { code, stdout } = await mailrelay('run', '--config', 'c.json', '--once', '--log-format', 'text');
    assert.deepEqual(JSON.parse(stdout), { config: 'c.json', once: true, logFormat: 'text' });
    assert.equal(code, 1);
    assert.deepEqual(await mailrelay('run'), { code: 0, stdout: '{}\n', stderr: '' });
  });

  test('check shows the order of providers, and no password', async () => {
    const path = await file('check.json', config());
    const [text, json] = await Promise.all([
      mailrelay('check', '--config', path),
      mailrelay('check', '--config', path, '--json'),
    ]);
    assert.equal(text.code, 0);
    assert.match(text.stdout, /1\. primary, smtp\.primary\.com:587/);
    assert.equal((JSON.parse(json.stdout) as { providers: unknown[] }).providers.length, 1);
  });

  test('check ends with 2 and one line per mistake, each naming the key', async () => {
    const path = await file('bad.json', { smtpPort: 99_999, forwardProviders: [{ host: 'h', port: 0 }] });
    const { code, stderr, stdout } = await mailrelay('check', '--config', path);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 2);
    assert.ok(lines.some(line => line.startsWith('smtpPort: ')));
    assert.ok(lines.some(line => line.startsWith('forwardProviders[0].port: ')));
  });

  test('check names a misspelt key beside the mistake that it makes', async () => {
    const path = await file('misspelt.json', { forwardProvider: [{ host: 'h' }] });
    assert.deepEqual((await mailrelay('check', '--config', path)).stderr.trimEnd().split('\n'), [
      'forwardProviders: must list at least one provider, or forwardSMTP must be false',
      'Warning: forwardProvider: is not a known key and is ignored; did you mean forwardProviders?',
    ]);
  });

  test('verify logs in from here with --config, by the running relay with --admin-port', async () => {
    const here = await mailrelay('verify', '--config', 'good.json');
    assert.equal(here.code, 0);
    assert.equal(
      here.stdout,
      [
        'PROVIDER  ADDRESS               RESULT  TIME   MESSAGE',
        'primary   smtp.primary.com:587  ok      42 ms  good.json',
        'backup    smtp.backup.com:465   ok      9 ms   535 no',
        '',
      ].join('\n'),
    );
    assert.match((await asking('verify')).stdout, /asked the relay/);
  });

  test('verify ends with 1 when a provider cannot be used', async () => {
    const { code, stdout, stderr } = await mailrelay('verify', '--config', 'other.json', '--json');
    assert.equal(code, 1);
    assert.equal(stderr, '1 of 2 providers cannot be used\n');
    assert.equal((JSON.parse(stdout) as { providers: { ok: boolean }[] }).providers[1]!.ok, false);
  });

  test('reload says what is in force, or ends with 2 and every mistake', async () => {
    assert.equal((await asking('reload')).stdout, 'configuration abc is in force\n');
    reloadResult = { ok: false, errors: ['a: wrong', 'b: wrong'] };
    const refused = await asking('reload');
    reloadResult = { ok: true, fingerprint: 'abc', warnings: [] };
    assert.equal(refused.code, 2);
    assert.equal(refused.stderr, 'a: wrong\nb: wrong\n');
    assert.deepEqual(JSON.parse((await asking('reload', '--json')).stdout), reloadResult);
  });
});

describe('queue list and show', () => {
  test('list is a table that never carries a control character', async () => {
    queue.add();
    queue.add({
      state: 'dead',
      sender: '',
      recipients: [
        { address: 'one@example.org', state: 'rejected' },
        { address: 'two@example.org', state: 'delivered' },
      ],
      reason: '550 5.1.1 \u001b[31mno such\nuser',
      size: 12_345_678,
      receivedAt: baseTime - 3 * 86_400_000,
    });
    queue.add({ state: 'active', dueAt: baseTime - 1, rounds: 0, reason: '' });
    const { stdout, code } = await asking('queue', 'list');
    assert.equal(code, 0);
    assert.equal(stdout, await readFile(new URL('./golden/queue-list.txt', import.meta.url), 'utf8'));
  });

  test('list fits a terminal', async () => {
    queue.add({ reason: 'x'.repeat(300) });
    const { stdout } = await mailrelay('--tty', 'queue', 'list', '--admin-port', String(endpoint.port));
    for (const line of stdout.trimEnd().split('\n')) assert.ok(line.length <= 100, line);
  });

  test('--json is a list that parses, empty too', async () => {
    assert.deepEqual(JSON.parse((await asking('queue', 'list', '--json')).stdout), []);
    queue.add();
    queue.add();
    const listed = JSON.parse((await asking('queue', 'list', '--json')).stdout) as { id: string }[];
    assert.deepEqual(
      listed.map(({ id }) => id),
      [...queue.kept.keys()],
    );
  });

  test('list says when there are more, and --all has them all', async () => {
    for (let i = 0; i < 1200; i++) queue.add();
    const some = await asking('queue', 'list', '--limit', '2');
    assert.equal(some.stdout.trimEnd().split('\n').length, 3);
    assert.match(some.stderr, /There are more: --after 00000000000000002/);
    const all = JSON.parse((await asking('queue', 'list', '--all', '--json')).stdout) as unknown[];
    assert.equal(all.length, 1200);
  });

  test('list filters', async () => {
    queue.add({ state: 'held', sender: 'x@y' });
    queue.add();
    const args = ['--state', 'held', '--sender', 'X@', '--recipient', 'example.org', '--older-than', '1h'];
    const { stdout } = await asking('queue', 'list', '--json', ...args);
    assert.equal((JSON.parse(stdout) as unknown[]).length, 1);
  });

  test('an empty list says so', async () => {
    assert.deepEqual(await asking('queue', 'list'), { code: 0, stdout: '', stderr: 'No message.\n' });
  });

  test('the admin port is read from a config.json that is otherwise broken', async () => {
    const path = await file('half.json', { adminPort: endpoint.port, smtpPort: 'nonsense' });
    assert.equal((await mailrelay('queue', 'list', '--config', path)).code, 0);
  });

  test('show tells what each recipient got', async () => {
    const { id } = queue.add({
      recipients: [{ address: 'a@x', state: 'rejected', provider: 'p', reply: '550 no', at: baseTime }],
    });
    const { stdout } = await asking('queue', 'show', id);
    assert.equal(stdout, await readFile(new URL('./golden/queue-show.txt', import.meta.url), 'utf8'));
    assert.equal((JSON.parse((await asking('queue', 'show', id, '--json')).stdout) as { id: string }).id, id);
  });

  test('show --body is the message byte for byte', async () => {
    const body = `Subject: x\r\n\r\n${'y'.repeat(300_000)}\r\n`;
    const { id } = queue.add({}, body);
    assert.equal((await asking('queue', 'show', id, '--body')).stdout, body);
  });

  test('a message that is not there ends with 1', async () => {
    const { code, stderr } = await asking('queue', 'show', '00000000000000099');
    assert.equal(code, 1);
    assert.equal(stderr, 'the relay refused (404): there is no message 00000000000000099 in the queue\n');
  });
});

describe('queue resend, hold, release, delete', () => {
  test('change what was chosen and say how many', async () => {
    const { id } = queue.add();
    queue.add();
    assert.equal((await asking('queue', 'hold', id)).stdout, '1 message held\n');
    assert.equal((await asking('queue', 'release', '--state', 'held')).stdout, '1 message released\n');
    assert.equal((await asking('queue', 'resend', '--all')).stdout, '2 messages due now\n');
    const { stdout } = await asking('queue', 'delete', '--all', '--yes', '--json');
    assert.deepEqual(JSON.parse(stdout), { operation: 'delete', count: 2 });
    assert.equal(queue.kept.size, 0);
  });

  test('end with 1 when a message that was named could not be changed', async () => {
    const { id } = queue.add();
    const absent = 'z'.repeat(17);
    const { code, stdout, stderr } = await asking('queue', 'hold', id, id, absent);
    assert.deepEqual([code, stdout], [1, '1 message held\n']);
    assert.match(stderr, /^1 of 2 messages are not held: not in the queue, /);
    assert.equal((await asking('queue', 'release', id, id)).code, 0);
  });

  test('end with 2 when the relay says that the request is wrong', async () => {
    const { code, stderr } = await asking('queue', 'hold', 'zzz');
    assert.equal(code, 2);
    assert.match(stderr, /^the relay refused \(400\): ids must be /);
    assert.equal((await asking('queue', 'resend', '--state', 'held')).code, 2);
  });

  test('on a terminal one message is deleted without --yes', async () => {
    const { id } = queue.add();
    const { code, stdout } = await mailrelay(
      '--tty',
      'queue',
      'delete',
      id,
      '--admin-port',
      String(endpoint.port),
    );
    assert.equal(code, 0);
    assert.equal(stdout, '1 message deleted\n');
  });

  test('on a terminal much is done in steps that are shown, each message once', async () => {
    for (let i = 0; i < 2500; i++) queue.add();
    queue.add({ state: 'dead' });
    const { stdout } = await mailrelay(
      '--tty',
      'queue',
      'resend',
      '--all',
      '--admin-port',
      String(endpoint.port),
    );
    assert.equal(stdout, '2500 messages due now\n');
    assert.deepEqual(
      queue.calls.map(({ filter }) => filter.ids?.length),
      [1000, 1000, 500],
    );
    assert.ok(queue.calls.every(({ filter }) => filter.state === 'failed'));
  });
});

describe('queue export and import', () => {
  test('export writes <id>.eml and <id>.json for nobody else to read, import brings them back', async () => {
    const to = join(directory, 'out');
    const body = `Subject: \u00fc\r\n\r\n${'line\r\n'.repeat(60_000)}`;
    const recipients = [
      { address: 'a@x', state: 'delivered', reply: '250 ok' },
      { address: 'b@x', state: 'pending' },
    ] as const;
    const { id } = queue.add({ recipients, eightBit: true }, body);
    const exported = await asking('queue', 'export', to);
    assert.equal(exported.stdout, `1 message exported to ${to}\n`);
    assert.deepEqual((await readdir(to)).sort(), [`${id}.eml`, `${id}.json`]);
    assert.equal((await stat(join(to, `${id}.eml`))).mode & 0o777, 0o600);
    assert.equal(await readFile(join(to, `${id}.eml`), 'utf8'), body);
    queue = new FakeQueue();
    const imported = await asking('queue', 'import', to, '--remove');
    assert.deepEqual(imported, { code: 0, stdout: '1 message imported\n', stderr: '' });
    const [kept] = queue.kept.values();
    assert.equal(kept!.body.toString(), body);
    assert.deepEqual(kept!.message.recipients, recipients);
    assert.equal(kept!.message.eightBit, true);
    assert.equal(kept!.message.receivedAt, baseTime);
    assert.deepEqual(await readdir(to), []);
  });

  test('import restores the envelope whichever file of an exported message is named, once where both are', async () => {
    const to = join(directory, 'pairs');
    const recipients = [
      { address: '"blind copy"@x.test', state: 'pending' },
      { address: 'done@x.test', state: 'delivered', reply: '250 ok' },
    ] as const;
    const body = 'From: author@x.test\r\nTo: list@x.test\r\n\r\nHello.\r\n';
    const { id } = queue.add({ sender: '', recipients, smtpUtf8: true }, body);
    await asking('queue', 'export', to);
    const [eml, json] = [join(to, `${id}.eml`), join(to, `${id}.json`)];
    for (const named of [[eml], [json], [eml, json], [to, eml, `${to}/./${id}.json`]]) {
      queue = new FakeQueue();
      assert.deepEqual(await asking('queue', 'import', ...named), {
        code: 0,
        stdout: '1 message imported\n',
        stderr: '',
      });
      const [kept, ...more] = queue.kept.values();
      assert.deepEqual(more, []);
      assert.deepEqual(
        [kept!.message.sender, kept!.message.recipients, kept!.message.smtpUtf8, kept!.body.toString()],
        ['', recipients, true, body],
      );
    }
    await asking('queue', 'import', eml, '--remove');
    assert.deepEqual(await readdir(to), []);
  });

  test('import never guesses an envelope from a header where a file beside it says something else', async () => {
    const broken = await file('cut-off.json', '{"sender":');
    const eml = await file('cut-off.eml', 'From: me@x\r\nTo: a@y\r\n\r\n');
    const { code, stderr } = await asking('queue', 'import', eml);
    assert.equal(code, 1);
    assert.equal(stderr, `${broken}: it is not the JSON of a message\n`);
    await file('18.json', { From: 'a@x', To: ['b@y'], Data: '', ID: '18' });
    const other = await file('18.eml', 'From: me@x\r\nTo: a@y\r\n\r\n');
    assert.equal((await asking('queue', 'import', other)).code, 0);
    assert.equal([...queue.kept.values()][0]!.message.sender, 'me@x');
  });

  test('--keep-age keeps when a message was accepted', async () => {
    const to = join(directory, 'aged');
    const { receivedAt } = queue.add();
    await asking('queue', 'export', to);
    queue = new FakeQueue();
    await asking('queue', 'import', to, '--keep-age');
    assert.equal([...queue.kept.values()][0]!.message.receivedAt, receivedAt);
  });

  test('a dead message comes back only with --retry-rejected', async () => {
    const to = join(directory, 'dead');
    queue.add({ state: 'dead', recipients: [{ address: 'a@x', state: 'rejected' }] });
    await asking('queue', 'export', to, '--state', 'dead');
    queue = new FakeQueue();
    const refused = await asking('queue', 'import', to);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /none is pending/);
    assert.equal((await asking('queue', 'import', to, '--retry-rejected')).code, 0);
    assert.equal([...queue.kept.values()][0]!.message.recipients[0]!.state, 'pending');
  });

  test("takes the original program's failed mail", async () => {
    const data = Buffer.from('Subject: old\n\nGrüße\n');
    const job = { From: 'a@x', To: ['b@y', 'c@z'], Data: data.toString('base64'), ID: '17' };
    const path = await file('17.json', job);
    assert.equal((await asking('queue', 'import', path)).stdout, '1 message imported\n');
    const [kept] = queue.kept.values();
    assert.equal(kept!.body.toString(), 'Subject: old\r\n\r\nGrüße\r\n');
    assert.equal(kept!.message.sender, 'a@x');
    assert.deepEqual(
      kept!.message.recipients.map(({ address }) => address),
      ['b@y', 'c@z'],
    );
    assert.equal(kept!.message.eightBit, true);
  });

  test("takes the original program's saved mail without its three lines", async () => {
    const head = 'From: a@x\nTo: b@y, c@z\nDate: Mon, 02 Jan 2006 15:04:05 +0000\n\n';
    const path = await file('20060102-150405_a_at_x.eml', `${head}Subject: old\n\nHello\n`);
    await asking('queue', 'import', path);
    const [kept] = queue.kept.values();
    assert.equal(kept!.body.toString(), 'Subject: old\r\n\r\nHello\r\n');
    assert.deepEqual(
      kept!.message.recipients.map(({ address }) => address),
      ['b@y', 'c@z'],
    );
  });

  test('takes the envelope of any .eml from what servers noted, else from its author', async () => {
    const noted = await file(
      'noted.eml',
      'Return-Path: <bounce@x>\r\nDelivered-To: real@y\r\nTo: "A, list" <list@z>\r\nFrom: me@x\r\n\r\n',
    );
    const written = await file(
      'written.eml',
      'From: "Me, myself" <me@x>\r\nTo: A <a@y>,\r\n b@y (comment)\r\nCc: friends: c@y, <d@y>;\r\n\r\n',
    );
    const bounce = await file('bounce.eml', 'Return-Path: <>\r\nTo: a@y\r\n\r\n');
    assert.equal((await asking('queue', 'import', noted, written, bounce)).code, 0);
    const envelopes = [...queue.kept.values()].map(({ message }) => [
      message.sender,
      ...message.recipients.map(({ address }) => address),
    ]);
    assert.deepEqual(envelopes, [
      ['bounce@x', 'real@y'],
      ['me@x', 'a@y', 'b@y', 'c@y', 'd@y'],
      ['', 'a@y'],
    ]);
  });

  test('takes addresses beyond ASCII as they are written, in UTF-8', async () => {
    const noted = await file(
      'noted.eml',
      'Return-Path: <voilà@exämple.com>\r\nTo: Ü <δοκιμή@παράδειγμα.ελ>, 用户@例子.中国\r\n\r\n',
    );
    const saved = await file(
      '20060102-150405_x.eml',
      'From: voilà@x\nTo: ü@y, 用户@z\nDate: Mon, 02 Jan 2006 15:04:05 +0000\n\nSubject: old\n\nHello\n',
    );
    assert.equal((await asking('queue', 'import', noted, saved)).code, 0);
    const messages = [...queue.kept.values()];
    const envelopes = messages.map(({ message }) => [
      message.sender,
      ...message.recipients.map(({ address }) => address),
      message.smtpUtf8,
    ]);
    assert.deepEqual(envelopes, [
      ['voilà@exämple.com', 'δοκιμή@παράδειγμα.ελ', '用户@例子.中国', true],
      ['voilà@x', 'ü@y', '用户@z', true],
    ]);
    assert.equal(messages[1]!.body.toString(), 'Subject: old\r\n\r\nHello\r\n');
  });

  test('refuses an address in its header that is no UTF-8 rather than to guess, and takes names that are not', async () => {
    const latin = (text: string) => Buffer.from(text, 'latin1');
    const broken = await file('broken.eml', latin('From: me@x\r\nTo: m\xfcller@y, b@y\r\n\r\n'));
    const named = await file('named.eml', latin('From: M\xfcller <me@x>\r\nTo: B\xe4r <b@y>\r\n\r\n'));
    const { code, stderr } = await asking('queue', 'import', broken, named);
    assert.equal(code, 1);
    assert.equal(
      stderr,
      `${broken}: its header has the address m\ufffdller@y, which is no UTF-8; say it with --recipient\n`,
    );
    const [kept] = queue.kept.values();
    assert.deepEqual([kept!.message.sender, kept!.message.recipients[0]!.address], ['me@x', 'b@y']);
    assert.equal((await asking('queue', 'import', broken, '--recipient', 'müller@y')).code, 0);
  });

  test('--sender and --recipient win over the file', async () => {
    const path = await file('over.eml', 'From: me@x\r\nTo: a@y\r\n\r\n');
    await asking('queue', 'import', path, '--sender', 's@s', '--recipient', 'r@r', 'q@q');
    const [kept] = queue.kept.values();
    assert.equal(kept!.message.sender, 's@s');
    assert.deepEqual(
      kept!.message.recipients.map(({ address }) => address),
      ['r@r', 'q@q'],
    );
  });

  test('a bad file is named and does not stop the others', async () => {
    const good = await file('good.eml', 'From: me@x\r\nTo: a@y\r\n\r\n');
    const nobody = await file('nobody.eml', 'From: me@x\r\n\r\n');
    const alone = await file('alone.json', { sender: 'a@x', recipients: ['b@y'] });
    const broken = await file('broken.json', '{');
    const { code, stdout, stderr } = await asking('queue', 'import', nobody, alone, broken, good);
    assert.equal(code, 1);
    assert.equal(stdout, '1 message imported\n');
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      `${nobody}: no header names a recipient; say it with --recipient`,
      `${alone}: its body cannot be read: ${join(directory, 'alone.eml')}: no such file`,
      `${broken}: it is not the JSON of a message`,
    ]);
    assert.equal((await asking('queue', 'import', join(directory, 'nowhere'))).code, 2);
  });

  test('what is no message is named: empty files, pipes, directories, Data that is no base64', async () => {
    const original = (Data: string) => ({ From: 'a@x', To: ['b@y'], Data, ID: '1' });
    const garbled = await file('garbled.json', original('!!!not base64'));
    const hollow = await file('hollow.json', original(''));
    const empty = await file('empty.eml', '');
    const pipe = join(directory, 'pipe.eml');
    execFileSync('mkfifo', [pipe]);
    await mkdir(join(directory, 'directory.eml'), { recursive: true });
    await symlink('nowhere', join(directory, 'link.eml'));
    const inside = await mkdtemp(join(directory, 'inside-'));
    for (const name of ['directory.eml', 'link.eml']) await rename(join(directory, name), join(inside, name));
    const { code, stdout, stderr } = await asking(
      'queue',
      'import',
      garbled,
      hollow,
      empty,
      pipe,
      inside,
      '--recipient',
      'r@y',
    );
    assert.equal(code, 1);
    assert.equal(stdout, '0 messages imported\n');
    assert.deepEqual(stderr.trimEnd().split('\n'), [
      `${garbled}: its Data must be base64`,
      `${hollow}: there is no message in it`,
      `${empty}: there is no message in it`,
      `${pipe}: it must be a regular file: ${pipe}`,
      `${inside}/directory.eml: it must be a regular file: ${inside}/directory.eml`,
      `${inside}/link.eml: it cannot be read: ${inside}/link.eml: no such file`,
    ]);
    assert.equal(queue.kept.size, 0);
  });

  test('an export to where no directory can be made says so', async () => {
    const taken = await file('taken', 'a file');
    const { code, stderr } = await asking('queue', 'export', join(taken, 'below'));
    assert.equal(code, 1);
    assert.match(stderr, /below cannot be made: ENOTDIR/);
  });

  // `mkdir` of Node.js, recursive, asks such a file system for ever.
  test('an export to a file system that makes no directories says so and ends', async t => {
    if (process.platform !== 'linux') return t.skip('/proc is of Linux alone');
    for (const to of ['/proc/nowhere', '/proc/nowhere/below']) {
      const { code, stdout, stderr } = await asking('queue', 'export', to);
      assert.deepEqual({ code, stdout }, { code: 1, stdout: '' });
      assert.equal(
        stderr,
        `${to} cannot be made: ENOENT: no such file or directory, mkdir '/proc/nowhere'; /proc is there, and takes no directory\n`,
      );
    }
  });

  test('an export into directories that are not there makes them for nobody else to read', async () => {
    const to = join(directory, 'not', 'there', 'yet');
    assert.equal((await asking('queue', 'export', to)).code, 0);
    for (const made of [to, join(to, '..'), join(to, '..', '..')]) {
      assert.equal((await stat(made)).mode & 0o777, 0o700);
    }
  });
});

describe('convert', () => {
  test('prints Secrets and a MailRelay that say the same', async () => {
    const path = await file('convert.json', {
      forwardSMTP: true,
      forwardProviders: [
        { host: 'smtp.b.com', port: 465, username: 'b', password: 'pb: "x"', ssl: true, priority: 5 },
        { name: 'A_1', host: 'smtp.a.com', port: 587, username: 'a', password: 'pa', priority: 1 },
        { name: 'open', host: 'smtp.c.com', port: 25, limits: { maxConnections: 2 } },
      ],
      retry: { attempts: 2 },
      rateLimits: { enabled: true },
      defaultUsername: 'app',
      defaultPassword: 'secret',
      listener: { maxRecipients: 10 },
    });
    const { code, stdout, stderr } = await mailrelay('convert', '--config', path, '--namespace', 'apps');
    assert.equal(code, 0);
    const documents = parseAllDocuments(stdout).map(document => document.toJS() as Record<string, unknown>);
    const relay = documents.pop() as { kind: string; spec: unknown; metadata: unknown };
    assert.equal(relay.kind, 'MailRelay');
    assert.deepEqual(relay.metadata, { name: 'mail', namespace: 'apps' });
    assert.deepEqual(relay.spec, {
      forwardSMTP: true,
      forwardProviders: [
        {
          name: 'smtp.b.com',
          host: 'smtp.b.com',
          port: 465,
          ssl: true,
          priority: 5,
          secretRef: { name: 'mail-smtp-b-com-smtp' },
        },
        {
          name: 'A_1',
          host: 'smtp.a.com',
          port: 587,
          ssl: false,
          priority: 1,
          secretRef: { name: 'mail-a-1-smtp' },
        },
        { name: 'open', host: 'smtp.c.com', port: 25, ssl: false, limits: { maxConnections: 2 } },
      ],
      retry: { attempts: 2 },
      listener: { maxRecipients: 10, auth: { secretRef: { name: 'mail-listener-auth' } } },
    });
    const secrets = Object.fromEntries(
      documents.map(secret => [(secret['metadata'] as { name: string }).name, secret['stringData']]),
    );
    assert.deepEqual(secrets, {
      'mail-smtp-b-com-smtp': { username: 'b', password: 'pb: "x"' },
      'mail-a-1-smtp': { username: 'a', password: 'pa' },
      'mail-listener-auth': { username: 'app', password: 'secret' },
    });
    assert.match(stderr, /^warning: rateLimits: cannot be said in a MailRelay/m);
    assert.doesNotMatch(stderr, /A_1/);
  });

  test('converts the old form, and says which credentials could not be read', async () => {
    const old = await file('old.json', {
      forwardSMTP: true,
      forwardHost: 'h.com',
      forwardPort: 25,
      forwardUsername: 'u',
      forwardPassword: 'p',
    });
    const absent = await file('absent-password.json', {
      forwardProviders: [{ name: 'p', host: 'h.com', port: 25, username: 'u', passwordFile: 'not-there' }],
    });
    const [first, second] = await Promise.all([
      mailrelay('convert', '--config', old),
      mailrelay('convert', '--config', absent),
    ]);
    assert.match(first.stdout, /forwardProviders:\n {4}- name: h.com\n/);
    assert.match(second.stdout, /password: CHANGE-ME/);
    assert.match(second.stderr, /warning: p: its user name or password could not be read .*not-there/);
  });

  test('a bad configuration ends with 2', async () => {
    const path = await file('bad2.json', { smtpPort: 0.5 });
    assert.equal((await mailrelay('convert', '--config', path)).code, 2);
    assert.equal((await mailrelay('convert', '--config', path, '--name', 'Not A Name')).code, 2);
  });
});
