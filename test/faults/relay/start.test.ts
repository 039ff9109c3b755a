/** What a start that cannot succeed says, and with which exit code. */
import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RelayProcess, type Run } from '../../clients/relay-process.ts';
import { startProvider } from '../../smtp/provider.ts';

async function open(t: TestContext, config: Record<string, unknown> = {}): Promise<RelayProcess> {
  const provider = await startProvider();
  const { host, port } = provider;
  const relay = await RelayProcess.create({ providers: [{ name: 'only', host, port }], config });
  t.after(async () => {
    await relay.remove();
    await provider.close();
  });
  return relay;
}

const lines = ({ stderr }: Run): string[] => stderr.split('\n').filter(line => line !== '');

/** Ports of its own for a second process on the directory, and how long the first one may take to end. */
const BESIDE = {
  smtpPort: 0,
  healthCheckPort: 0,
  adminPort: 0,
  shutdown: { graceSeconds: 0, deadlineSeconds: 1 },
};

test('a second process on the same directory waits as long as an end takes, then ends with 1 and names directory and owner', async t => {
  const relay = await open(t);
  const first = await relay.start();
  await relay.configure(BESIDE);
  const second = relay.spawn();
  const { message } = await second.until('spool-waiting');
  assert.match(String(message), new RegExp(`in use by process ${first.child.pid} on .*: waiting up to 6 s`));
  assert.deepEqual(await second.ended(), { code: 1, signal: null });
  assert.equal(second.heard('spool-waiting').length, 1, 'it is told once');
  assert.match(second.stderr, new RegExp(join(relay.dataDir, 'emails')));
  assert.match(second.stderr, new RegExp(`\\b${first.child.pid}\\b`));
  assert.equal(lines(second).length, 1, second.stderr);
  assert.equal((await relay.http('/readyz')).status, 200);
  first.signal('SIGTERM');
  assert.equal((await first.ended()).code, 0);
  await relay.start();
});

test('without --config the config.json of the working directory is used; an interrupt ends with 0', async t => {
  const relay = await open(t);
  const run = await relay.start({ args: ['run'], cwd: relay.directory });
  assert.equal((await relay.http('/readyz')).status, 200);
  run.signal('SIGINT');
  assert.deepEqual(await run.ended(), { code: 0, signal: null });
  assert.equal(run.stderr, '');
});

test('a process that waits for the directory has it as soon as the owner has ended', async t => {
  const relay = await open(t);
  const first = await relay.start();
  await relay.configure(BESIDE);
  const second = relay.spawn();
  await second.until('spool-waiting');
  first.signal('SIGTERM');
  assert.equal((await first.ended()).code, 0);
  await second.until('started');
  second.signal('SIGTERM');
  assert.deepEqual(await second.ended(), { code: 0, signal: null });
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`a process that waits for the directory ends at once with 0 at ${signal}, and SIGHUP does not harm it`, async t => {
    const relay = await open(t);
    const first = await relay.start();
    await relay.configure({ ...BESIDE, shutdown: { deadlineSeconds: 60 } });
    const second = relay.spawn();
    await second.until('spool-waiting');
    second.signal('SIGHUP');
    const asked = performance.now();
    second.signal(signal);
    assert.deepEqual(await second.ended(), { code: 0, signal: null });
    assert.ok(performance.now() - asked < 30_000);
    assert.equal(second.stderr, '');
    assert.equal(first.ending, undefined);
  });
}

test('a directory whose owner was killed is taken over at once', async t => {
  const relay = await open(t);
  await relay.start();
  await relay.kill();
  const asked = performance.now();
  await relay.start();
  assert.ok(performance.now() - asked < 30_000);
});

test('a start that takes long ends with 0 within seconds of SIGTERM, and the next one finds all in order', async t => {
  const relay = await open(t);
  const late =
    'import { isMainThread } from "node:worker_threads"; if (!isMainThread) await new Promise(end => setTimeout(end, 60_000));';
  const slow = relay.spawn({
    env: { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(late)}` },
  });
  await slow.until('config-loaded');
  const asked = performance.now();
  slow.signal('SIGTERM');
  assert.deepEqual(await slow.ended(), { code: 0, signal: null });
  assert.ok(performance.now() - asked < 30_000);
  assert.match(slow.stderr, /^told to stop while it was starting: /);
  await relay.start();
});

const host = 'mail.example.com';

const MISTAKES: Readonly<
  Record<string, readonly [config: Record<string, unknown>, keys: readonly string[]]>
> = {
  'single values': [
    {
      forwardProviders: [
        { host, port: 99_999 },
        { host, port: 587, pasword: 'x' },
      ],
      healthCheckPort: 'high',
      retry: { attempts: 0 },
    },
    ['forwardProviders[0].port', 'forwardProviders[1].pasword', 'healthCheckPort', 'retry.attempts'],
  ],
  'single values and in what the others say together': [
    {
      forwardProviders: [
        { host, port: 99_999, username: 'someone' },
        { host, port: 587, name: 'twice' },
        { host, port: 588, name: 'twice', passwrd: 'x' },
      ],
      adminPort: 'high',
      resend: { initialDelaySeconds: 100, maxDelaySeconds: 10 },
      listener: { auth: { required: true } },
    },
    [
      'forwardProviders[0].port',
      'forwardProviders[2].passwrd',
      'adminPort',
      'forwardProviders[2].name',
      'forwardProviders[0].password',
      'listener.auth.accounts',
      'listener.tls',
      'resend.maxDelaySeconds',
    ],
  ],
  'values that do not go together': [
    {
      forwardProviders: [
        { host, port: 587, username: 'someone' },
        { host, port: 588, password: 'x' },
      ],
      resend: { initialDelaySeconds: 100, maxDelaySeconds: 10 },
    },
    ['forwardProviders[0].password', 'forwardProviders[1].username', 'resend.maxDelaySeconds'],
  ],
};

for (const [what, [config, keys]] of Object.entries(MISTAKES)) {
  test(`a configuration with mistakes in ${what} ends with 2 and one line for each`, async t => {
    const relay = await open(t);
    await relay.configure(config);
    const run = relay.spawn();
    assert.deepEqual(await run.ended(), { code: 2, signal: null });
    for (const key of keys) {
      assert.equal(
        lines(run).filter(line => line.startsWith(`${key}: `)).length,
        1,
        `${key} in:\n${run.stderr}`,
      );
    }
    assert.equal(lines(run).length, keys.length, run.stderr);
  });
}

test('a configuration that is no JSON ends with 2 and says where', async t => {
  const relay = await open(t);
  await writeFile(relay.configPath, '{\n  "forwardProviders": [\n');
  const run = relay.spawn();
  assert.equal((await run.ended()).code, 2);
  assert.match(run.stderr, /^.*config\.json: line 3, column 1: a closing \] must stand here$/m);
  assert.equal(lines(run).length, 1);
});

test('a configuration file that is not there ends with 2 and names it', async t => {
  const relay = await open(t);
  const run = relay.spawn({ args: ['run', '--config', join(relay.directory, 'absent.json')] });
  assert.equal((await run.ended()).code, 2);
  assert.match(run.stderr, /absent\.json/);
});

test('a port that is taken ends with 1, names it, and leaves the directory free', async t => {
  const relay = await open(t);
  for (const port of [relay.smtpPort, relay.healthPort, relay.adminPort]) {
    const taken = createServer().listen(port, '127.0.0.1');
    t.after(() => taken.close());
    const run = relay.spawn();
    assert.equal((await run.ended()).code, 1);
    assert.match(run.stderr, new RegExp(`${port}`));
    await new Promise(resolve => taken.close(resolve));
  }
  await relay.start();
});

test('a directory that cannot be made ends with 1 and names it', async t => {
  const relay = await open(t);
  await writeFile(join(relay.directory, 'file'), 'no directory');
  await relay.configure({ dataDir: join(relay.directory, 'file') });
  const run = relay.spawn();
  assert.equal((await run.ended()).code, 1);
  assert.match(run.stderr, new RegExp(join(relay.directory, 'file')));
});

test('a directory on a file system that makes none ends with 1 and names it', async t => {
  const relay = await open(t);
  await relay.configure({ dataDir: '/proc/nowhere/mail' });
  const run = relay.spawn();
  assert.deepEqual(await run.ended(), { code: 1, signal: null });
  assert.match(run.stderr, /ENOENT.*\/proc\/nowhere/);
});

test('a queue that is no database ends with 1 and is not touched', async t => {
  const relay = await open(t);
  await relay.start();
  await relay.halt();
  const path = join(relay.dataDir, 'emails/queue.db');
  await writeFile(
    path,
    'this is no database, and is longer than a header of one hundred bytes would be, to be sure',
  );
  const run = relay.spawn();
  assert.equal((await run.ended()).code, 1);
  assert.match(run.stderr, /queue\.db/);
  assert.match(await readFile(path, 'utf8'), /^this is no database/);
});
