/** Which cluster tests run on, and what is said and counted where there can be none. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { after, before, describe, test } from 'node:test';
import { kubernetesPrograms } from '../../cluster/tools.ts';

const root = join(import.meta.dirname, '../../..');
const clusterScript = join(root, 'test/cluster/cluster.sh');

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe('the cluster for tests', { skip: process.platform === 'win32' }, () => {
  let directory: string;
  let kubeconfig: string;
  let count = 0;

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mailrelay-choice-'));
    kubeconfig = join(directory, 'given.kubeconfig');
    await writeFile(kubeconfig, '');
    const plain = join(directory, 'plain');
    await mkdir(plain);
    // What there is on this machine, but for what decides.
    for (const place of (process.env['PATH'] ?? '').split(delimiter)) {
      for (const name of await readdir(place).catch(() => [])) {
        if (['kind', 'docker', 'go'].includes(name)) continue;
        await symlink(join(place, name), join(plain, name)).catch(() => {}); // an earlier place has it
      }
    }
  });
  after(() => rm(directory, { recursive: true }));

  /** A machine with these programs, each a line of shell, and nothing else that decides. */
  async function on(
    programs: Readonly<Record<string, string>>,
    env: Readonly<Record<string, string>>,
    command: readonly string[] = [clusterScript, 'which'],
  ): Promise<Ran> {
    const own = join(directory, `machine-${count++}`);
    await mkdir(own);
    for (const [name, line] of Object.entries(programs)) {
      await writeFile(join(own, name), `#!/bin/sh\n${line}\n`);
      await chmod(join(own, name), 0o755);
    }
    const {
      MAILRELAY_TEST_KUBECONFIG: _given,
      MAILRELAY_TEST_CLUSTER: _demanded,
      NODE_TEST_CONTEXT: _ours,
      KUBEBUILDER_ASSETS: _assets,
      CI: _ci,
      ...clean
    } = process.env;
    const PATH = [own, join(directory, 'plain')].join(delimiter);
    const [program = '', ...args] = command;
    return new Promise(resolve => {
      execFile(
        program,
        args,
        { env: { ...clean, PATH, MAILRELAY_CACHE: join(own, 'cache'), ...env } },
        (error, stdout, stderr) => resolve({ code: Number(error?.code ?? 0), stdout, stderr }),
      );
    });
  }

  const works = { kind: 'exit 0', docker: 'exit 0' };
  const root0 = { id: 'echo 0', uname: 'echo Linux', unshare: 'exit 0' };

  for (const [what, programs, env, expected] of [
    ['the one that is given, whatever else there is', { ...works, ...root0, go: 'exit 0' }, {}, 'given'],
    ['kind, where kind and a running Docker are', { ...works, ...root0, go: 'exit 0' }, {}, 'kind'],
    [
      'our own, where there is no kind beside Docker',
      { ...root0, docker: 'exit 0', go: 'exit 0' },
      {},
      'own',
    ],
    ['our own, where Docker does not run', { ...works, ...root0, docker: 'exit 1', go: 'exit 0' }, {}, 'own'],
    [
      'our own, where it is demanded',
      { ...works, ...root0, go: '' },
      { MAILRELAY_TEST_CLUSTER: 'own' },
      'own',
    ],
  ] as const) {
    test(`is ${what}`, async () => {
      const given = expected === 'given' ? { MAILRELAY_TEST_KUBECONFIG: kubeconfig } : {};
      const { code, stdout, stderr } = await on(programs, { ...env, ...given });
      assert.deepEqual([code, stdout, stderr], [0, `${expected}\n`, '']);
    });
  }

  const neither = 'MAILRELAY_TEST_KUBECONFIG is not set, kind with Docker is not here, and our own needs';
  for (const [what, programs, env, words] of [
    ['without root', { ...root0, id: 'echo 1000', go: '' }, {}, `${neither} root, for namespaces and mounts`],
    ['without Go and what it had built', root0, {}, `${neither} Go, to build Kubernetes from`],
    ['on another system', { ...root0, uname: 'echo Darwin', go: '' }, {}, `${neither} Linux, not Darwin`],
    [
      'where namespaces are forbidden',
      { ...root0, unshare: 'exit 1', go: '' },
      {},
      `${neither} the right to make namespaces`,
    ],
    [
      'when kind is demanded and is not there',
      { ...root0, go: '' },
      { MAILRELAY_TEST_CLUSTER: 'kind' },
      'kind is demanded by MAILRELAY_TEST_CLUSTER, but kind and a running Docker are not both here',
    ],
    [
      'when something else is demanded',
      { ...root0, go: '' },
      { MAILRELAY_TEST_CLUSTER: 'minikube' },
      'MAILRELAY_TEST_CLUSTER=minikube must be kind or own',
    ],
    [
      'when the one that is given cannot be read',
      { ...root0, go: '' },
      { MAILRELAY_TEST_KUBECONFIG: '/nowhere' },
      'MAILRELAY_TEST_KUBECONFIG=/nowhere must be a file that can be read',
    ],
  ] as const) {
    test(`is none ${what}, and says so`, async () => {
      const { code, stdout, stderr } = await on(programs, env);
      assert.deepEqual([code, stdout, stderr], [69, '', `no Kubernetes for tests: ${words}\n`]);
    });
  }

  for (const [file, reason] of [
    ['e2e/story.test.ts', `${neither} Go, to build Kubernetes from`],
    ['operator/rbac.test.ts', 'neither KUBEBUILDER_ASSETS is set nor Go installed'],
  ] as const) {
    for (const [where, env, outcome] of [
      ['skipped', {}, [0, '0 passed, 0 failed, 1 skipped']],
      ['failed where CI=true', { CI: 'true' }, [1, '0 passed, 1 failed, 0 skipped']],
    ] as const) {
      test(`that cannot be had makes ${file} count as ${where}, with the reason`, async () => {
        const { code, stdout } = await on(root0, env, [process.execPath, join(root, 'test/run.ts'), file]);
        assert.ok(stdout.includes(reason), stdout);
        assert.deepEqual([code, stdout.trimEnd().split('\n').at(-1)], outcome);
      });
    }
  }

  test('is an API server alone from KUBEBUILDER_ASSETS, where that holds one', async t => {
    const before = process.env['KUBEBUILDER_ASSETS'];
    t.after(() => {
      if (before === undefined) delete process.env['KUBEBUILDER_ASSETS'];
      else process.env['KUBEBUILDER_ASSETS'] = before;
    });
    const assets = join(directory, 'assets');
    await mkdir(assets);
    process.env['KUBEBUILDER_ASSETS'] = assets;
    await assert.rejects(kubernetesPrograms(), {
      message: `KUBEBUILDER_ASSETS=${assets} must be a directory that holds etcd and kube-apiserver`,
    });
    for (const name of ['etcd', 'kube-apiserver']) await writeFile(join(assets, name), '');
    assert.equal(await kubernetesPrograms(), assets);
  });
});
