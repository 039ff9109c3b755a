import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type ApiServer, startApiServer } from './api-server.ts';
import { readyUrl } from './ready.ts';

const bob = { token: 'token-of-bob', name: 'bob', groups: ['readers', 'writers'] };

describe('an API server for tests', () => {
  let server: ApiServer;
  before(async () => {
    server = await startApiServer({ tokens: [bob] });
  });
  after(() => server.stop());

  test('stores objects and returns them', async () => {
    await server.kubectl(['apply', '-f', '-'], 'apiVersion: v1\nkind: Namespace\nmetadata: {name: stored}\n');
    assert.match(await server.kubectl(['get', 'namespace', 'stored', '-o', 'name']), /^namespace\/stored$/m);
  });

  test('knows a user by client certificate, with the groups that were asked for', async () => {
    const kubeconfig = await server.userKubeconfig('ann', ['admins', 'staff']);
    const who = await server.kubectl(['auth', 'whoami', '-o', 'json', '--kubeconfig', kubeconfig]);
    const { username, groups } = JSON.parse(who).status.userInfo;
    assert.deepEqual(
      { username, groups },
      { username: 'ann', groups: ['admins', 'staff', 'system:authenticated'] },
    );
  });

  test('knows a user by bearer token', async () => {
    const kubeconfig = await server.tokenKubeconfig(bob.token);
    const who = await server.kubectl(['auth', 'whoami', '-o', 'json', '--kubeconfig', kubeconfig]);
    const { username, groups } = JSON.parse(who).status.userInfo;
    assert.deepEqual(
      { username, groups },
      { username: 'bob', groups: [...bob.groups, 'system:authenticated'] },
    );
  });

  test('refuses what a user has no right to', async () => {
    const kubeconfig = await server.userKubeconfig('nobody');
    await assert.rejects(
      server.kubectl(['get', 'secrets', '--kubeconfig', kubeconfig]),
      /nobody.*cannot list/,
    );
  });

  test('comes back on the same port with what it had stored', async () => {
    await server.kubectl(['create', 'namespace', 'kept']);
    await server.stopServing();
    await assert.rejects(server.kubectl(['get', 'namespaces']), /refused/);
    await server.resumeServing();
    assert.match(await server.kubectl(['get', 'namespace', 'kept', '-o', 'name']), /kept/);
  });

  test('answers nothing while it is frozen and goes on when it is thawed', async () => {
    await server.freeze();
    const frozen = readyUrl(
      { url: `${server.url}/readyz`, authority: server.authority, ...server.admin },
      { within: 300 },
    );
    await assert.rejects(frozen, /not ready within 300 ms; the last answer was: no answer/);
    server.thaw();
    await readyUrl({ url: `${server.url}/readyz`, authority: server.authority, ...server.admin });
  });
});

test('a flag that the API server does not know is reported with what it said', async () => {
  await assert.rejects(
    startApiServer({ flags: ['--no-such-flag'] }),
    /ended by itself \(code 1\).*no-such-flag/s,
  );
});

test('further flags reach the API server, such as those of an audit log', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'audit-'));
  const policy = join(directory, 'policy.yaml');
  const log = join(directory, 'audit.log');
  await writeFile(policy, 'apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n');
  const server = await startApiServer({
    flags: [`--audit-policy-file=${policy}`, `--audit-log-path=${log}`],
  });
  await server.kubectl(['create', 'namespace', 'audited']);
  await server.stop();
  assert.match(await readFile(log, 'utf8'), /"verb":"create".*"name":"audited"/);
  await assert.rejects(access(server.directory), /ENOENT/, 'its directory goes when it stops');
  await rm(directory, { recursive: true });
});

test('nothing outlives a test process that is killed', async () => {
  const script = `
    import { startApiServer } from ${JSON.stringify(join(import.meta.dirname, 'api-server.ts'))};
    const server = await startApiServer();
    process.stdout.write(server.url + ' ' + server.directory + '\\n');
    setInterval(() => {}, 1000);
  `;
  const child = execFile(process.execPath, ['--input-type=module-typescript', '-e', script]);
  const [line] = await once(child.stdout!, 'data');
  const [url = '', directory = ''] = String(line).trim().split(' ');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const refused = (): Promise<boolean> =>
    fetch(url).then(
      () => false,
      error => error.cause?.code === 'ECONNREFUSED',
    );
  while (!(await refused())) await delay(20);
  await access(directory);
  const next = await startApiServer();
  await assert.rejects(access(directory), /ENOENT/, 'the next start clears up');
  await next.stop();
});
