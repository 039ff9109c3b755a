/** The operator's program, started where the API server is away, in trouble, or does not know MailRelays. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, afterEach, before, describe, test } from 'node:test';
import { startApiServer } from '../cluster/api-server.ts';
import { makeAuthority, writeKubeconfig } from '../cluster/kubeconfig.ts';
import { command, type Service, startService } from '../cluster/process.ts';
import { type Fault, FaultyServer } from '../kube/faulty-server.ts';
import { waitUntil } from '../kube/wait-until.ts';

const repository = join(import.meta.dirname, '../..');

interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly server?: string;
  readonly cause?: string;
  readonly kind?: string;
  readonly why?: string;
  readonly probesPort?: number;
}
/** pino's number for warn. */
const warn = 40;

/** A program that runs. */
class Started {
  readonly service: Service;
  readonly #log: string;

  constructor(service: Service, log: string) {
    this.service = service;
    this.#log = log;
  }

  async lines(): Promise<LogLine[]> {
    const text = await readFile(this.#log, 'utf8');
    const lines = text.split('\n').filter(line => line.startsWith('{') && line.endsWith('}'));
    return lines.map(line => JSON.parse(line) as LogLine);
  }

  /** Waits until it has said that; fails when it ends instead. Resolves with what it said. */
  async says(msg: string, holds: (line: LogLine) => boolean = () => true): Promise<LogLine> {
    let found: LogLine | undefined;
    const said = waitUntil(
      `it says "${msg}"`,
      async () => {
        found = (await this.lines()).find(line => line.msg.startsWith(msg) && holds(line));
        return found !== undefined;
      },
      60_000,
    );
    await Promise.race([said, this.service.failed]);
    return found!;
  }

  async ask(path: string): Promise<{ readonly code: number; readonly text: string }> {
    const { probesPort } = await this.says('started');
    const response = await fetch(`http://127.0.0.1:${probesPort}${path}`);
    return { code: response.status, text: await response.text() };
  }

  /** How often watches have failed. */
  async faults(): Promise<number> {
    const { text } = await this.ask('/metrics');
    const counts = [...text.matchAll(/^kube_watch_faults_total\{.*\} (\d+)$/gm)].map(([, count]) =>
      Number(count),
    );
    return counts.reduce((sum, count) => sum + count, 0);
  }
}

describe('the operator is started', () => {
  let directory: string;
  const running: Started[] = [];
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mailrelay-start-'));
  });
  afterEach(() => Promise.all(running.splice(0).map(({ service }) => service.stop())));
  after(() => rm(directory, { recursive: true, force: true }));

  let started = 0;
  const commandOf = (kubeconfig: string): readonly string[] => [
    ...[process.execPath, join(repository, 'operator/main.ts'), '--kubeconfig', kubeconfig],
    ...['--relay-image', 'relay:1', '--health-host', '127.0.0.1', '--health-port', '0', '--no-leader-elect'],
  ];
  const start = async (kubeconfig: string): Promise<Started> => {
    const log = join(directory, `${++started}.log`);
    const program = new Started(await startService('operator', commandOf(kubeconfig), log), log);
    running.push(program);
    return program;
  };
  const trouble = 'the API server is in trouble';

  test('before the API server and before the CRD: it waits for both, alive and not ready, and says so once', async t => {
    const server = await startApiServer();
    t.after(() => server.stop());
    await server.stopServing();
    const program = await start(server.kubeconfig);
    const { server: address, cause } = await program.says(trouble);
    assert.deepEqual([address, cause], [server.url, 'refused']);
    await waitUntil('each kind has tried again', async () => (await program.faults()) >= 40);
    assert.deepEqual(await program.ask('/healthz'), { code: 200, text: 'ok\n' });
    const unready = await program.ask('/readyz');
    assert.equal(unready.code, 503);
    assert.match(unready.text, /^the caches are not synced yet: MailRelay, Secret, Pod, .* and \d+ more\n$/);
    const told = (await program.lines()).filter(line => line.level >= warn && line.cause === 'refused');
    assert.equal(told.length, 1);

    await server.resumeServing();
    await program.says('the API server is well again');
    await program.says('out of view', ({ kind, why }) => kind === 'MailRelay' && why === 'not-served');
    await waitUntil('it waits for the CRD alone', async () =>
      (await program.ask('/readyz')).text.startsWith(
        'there is no namespace that may be read: MailRelay (not-served)',
      ),
    );
    const crd = await readFile(join(repository, 'crds/mailrelay.dev_mailrelays.yaml'), 'utf8');
    await server.kubectl(['apply', '--server-side', '-f', '-'], crd);
    await program.says('caches are synced');
    assert.deepEqual(await program.ask('/readyz'), { code: 200, text: 'ok\n' });
    const warnings = (await program.lines()).filter(
      ({ kind, why }) => kind === 'MailRelay' && why === 'not-served',
    );
    assert.equal(warnings.length, 1);
  });

  const answers: readonly (readonly [what: string, cause: string, answer: Fault])[] = [
    ['answers 500', '500', { kind: 'status', code: 500, reason: 'InternalError' }],
    ['answers 503', '503', { kind: 'status', code: 503, reason: 'ServiceUnavailable', retryAfter: 1 }],
    ['answers 429', '429', { kind: 'status', code: 429, reason: 'TooManyRequests' }],
    ['answers 401', '401', { kind: 'status', code: 401, reason: 'Unauthorized' }],
    ['resets connections', 'reset', { kind: 'reset' }],
    ['is a proxy with a page for people', 'protocol', { kind: 'html' }],
  ];
  for (const [what, cause, answer] of answers) {
    test(`while what is at the address ${what}: it tries again and says so once`, async t => {
      const server = await FaultyServer.start();
      t.after(() => server.stop());
      server.always = () => answer;
      const program = await start(await server.kubeconfig());
      await program.says(trouble, line => line.cause === cause && line.server === server.connection.server);
      await waitUntil('each kind has tried again', async () => (await program.faults()) >= 40);
      const told = (await program.lines()).filter(({ level }) => level >= warn);
      assert.deepEqual(
        told.map(line => line.cause),
        [cause],
      );
      assert.equal((await program.ask('/healthz')).code, 200);
      assert.equal((await program.ask('/readyz')).code, 503);
    });
  }

  test('with another authority than the one that signed the server: it tries again and says so once', async t => {
    const server = await FaultyServer.start();
    t.after(() => server.stop());
    const other = join(directory, 'other');
    await mkdir(other);
    const { certificate: authority } = await makeAuthority(other);
    const kubeconfig = join(other, 'kubeconfig');
    await writeKubeconfig(kubeconfig, {
      url: server.connection.server,
      authority,
      credential: { token: 'a' },
    });
    const program = await start(kubeconfig);
    await program.says(trouble, line => line.cause === 'tls');
    await waitUntil('each kind has tried again', async () => (await program.faults()) >= 40);
    assert.equal((await program.lines()).filter(({ level }) => level >= warn).length, 1);
    assert.equal((await program.ask('/healthz')).code, 200);
  });

  test('with a selector that the API server does not understand: it ends and names the flag and its value', async t => {
    const server = await startApiServer();
    t.after(() => server.stop());
    const crd = await readFile(join(repository, 'crds/mailrelay.dev_mailrelays.yaml'), 'utf8');
    await server.kubectl(['apply', '--server-side', '-f', '-'], crd);
    const [program = '', ...args] = [...commandOf(server.kubeconfig), '--selector', 'a in (b'];
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    t.after(() => child.kill('SIGKILL'));
    const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
    assert.match(said, /^--selector must be a label selector such as ".*", not "a in \(b": unable to parse/m);
    assert.equal(code, 2);
  });

  test('with a kubeconfig that cannot be read: it ends and names the file', async () => {
    const missing = join(directory, 'missing');
    const ended = command(commandOf(missing));
    await assert.rejects(ended, new RegExp(`kubeconfig ${missing} cannot be read`));
  });
});
