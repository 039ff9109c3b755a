import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import type { RelayConfig } from '../../../relay/config/config.ts';
import {
  type LiveConfig,
  loadConfig,
  type OpenConfigOptions,
  openConfig,
} from '../../../relay/config/watch.ts';
import { one } from './memory-sources.ts';

/** Long enough never to be the reason that a change is seen. */
const never = 3_600_000;

function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'mailrelay-config-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function write(path: string, content: object | string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
}

/** What an editor does: a new file, renamed over the old one. */
function replace(path: string, content: object | string): void {
  write(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

interface Following {
  readonly live: LiveConfig;
  readonly changes: RelayConfig[];
  readonly loaded: RelayConfig[];
  readonly rejected: (readonly string[])[];
  /** Resolves when it holds; looked at after each report. */
  until(holds: () => boolean): Promise<void>;
}

async function follow(
  t: TestContext,
  path: string,
  more: Partial<OpenConfigOptions> = {},
): Promise<Following> {
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  const [changes, loaded, rejected]: [RelayConfig[], RelayConfig[], (readonly string[])[]] = [[], [], []];
  const report = {
    loaded: (config: RelayConfig) => {
      loaded.push(config);
      setImmediate(wake);
    },
    rejected: (problems: readonly string[]) => {
      rejected.push(problems);
      setImmediate(wake);
    },
  };
  const onChange = (config: RelayConfig) => changes.push(config);
  const live = await openConfig({ path, env: {}, report, onChange, settleMs: 20, pollMs: never, ...more });
  t.after(() => live.close());
  // Past the second look that follows the start of a watch: from here on only events tell.
  await new Promise(resolve => setTimeout(resolve, 60));
  const until = (holds: () => boolean) =>
    new Promise<void>((resolve, reject) => {
      // The watches of the relay do not keep the process alive; this does.
      const timeout = setTimeout(() => reject(new Error('it did not happen within 10 s')), 10_000);
      const look = () => {
        if (!holds()) return;
        clearTimeout(timeout);
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  return { live, changes, loaded, rejected, until };
}

const host = (live: LiveConfig) => live.current().providers[0]?.host;
const password = (live: LiveConfig) => live.current().providers[0]?.credentials?.password;

describe('a configuration that is followed', () => {
  test('changes when its file is written over', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, changes, loaded, until } = await follow(t, path);
    assert.equal(host(live), 'a');
    assert.equal(changes.length, 0, 'the first one is no change');
    assert.equal(loaded.length, 1);
    write(path, one({ host: 'b' }));
    await until(() => host(live) === 'b');
    assert.deepEqual(changes, [live.current()]);
  });

  test('changes also when that happens between the first look and the first watch', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const changed = new Promise<RelayConfig>((resolve, reject) => {
      const report = { loaded: () => write(path, one({ host: 'b' })), rejected() {} };
      const options = { path, env: {}, report, onChange: resolve, settleMs: 20, pollMs: never };
      const patience = setTimeout(() => reject(new Error('it was not seen within 10 s')), 10_000);
      openConfig(options).then(live => {
        t.after(() => {
          clearTimeout(patience);
          live.close();
        });
      }, reject);
    });
    assert.equal((await changed).providers[0]?.host, 'b');
  });

  test('may be named by a path relative to the working directory', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, until } = await follow(t, relative(process.cwd(), path));
    replace(path, one({ host: 'b' }));
    await until(() => host(live) === 'b');
  });

  test('changes when another file is renamed over it, again and again', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, until } = await follow(t, path);
    for (const next of ['b', 'c', 'd']) {
      replace(path, one({ host: next }));
      await until(() => host(live) === next);
    }
  });

  test('stays when its file is deleted, and changes when there is one again', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, rejected, until } = await follow(t, path);
    unlinkSync(path);
    await until(() => rejected.length > 0);
    assert.deepEqual(rejected, [[`${path}: cannot be read: no such file`]]);
    assert.equal(host(live), 'a');
    write(path, one({ host: 'b' }));
    await until(() => host(live) === 'b');
    assert.equal(live.lastError(), undefined);
  });

  test('changes when a Kubernetes volume swaps its ..data link', async t => {
    const volume = scratch(t);
    const generation = (number: number, text: object) => {
      write(join(volume, `..2026_${number}`, 'config.json'), text);
      symlinkSync(`..2026_${number}`, join(volume, '..data_tmp'));
      renameSync(join(volume, '..data_tmp'), join(volume, '..data'));
      rmSync(join(volume, `..2026_${number - 1}`), { recursive: true, force: true });
    };
    generation(1, one({ host: 'a' }));
    symlinkSync(join('..data', 'config.json'), join(volume, 'config.json'));
    const { live, until } = await follow(t, join(volume, 'config.json'));
    generation(2, one({ host: 'b' }));
    await until(() => host(live) === 'b');
    generation(3, one({ host: 'c' }));
    await until(() => host(live) === 'c');
  });

  test('changes once, text and Secret together, when one projected volume holds both', async t => {
    const volume = scratch(t);
    const generation = (number: number, secret: string) => {
      const directory = join(volume, `..2026_${number}`);
      const file = one(
        { username: 'u', passwordFile: 'credentials/primary/password' },
        { resendRequestedAt: `${number}` },
      );
      write(join(directory, 'config.json'), file);
      write(join(directory, 'credentials', 'primary', 'password'), secret);
      symlinkSync(`..2026_${number}`, join(volume, '..data_tmp'));
      renameSync(join(volume, '..data_tmp'), join(volume, '..data'));
      rmSync(join(volume, `..2026_${number - 1}`), { recursive: true, force: true });
    };
    generation(1, 'one');
    symlinkSync(join('..data', 'config.json'), join(volume, 'config.json'));
    symlinkSync(join('..data', 'credentials'), join(volume, 'credentials'));
    const { live, changes, until } = await follow(t, join(volume, 'config.json'));
    const before = live.current();
    generation(2, 'two');
    await until(() => password(live) === 'two');
    assert.equal(changes.length, 1);
    assert.notEqual(live.current().fingerprint, before.fingerprint);
    assert.notEqual(live.current().credentialsFingerprint, before.credentialsFingerprint);
  });

  test('changes when a Secret volume of its own swaps, reached through a link to a directory', async t => {
    const base = scratch(t);
    const volume = join(base, 'secrets');
    const generation = (number: number, secret: string) => {
      write(join(volume, `..2026_${number}`, 'primary', 'password'), secret);
      symlinkSync(`..2026_${number}`, join(volume, '..data_tmp'));
      renameSync(join(volume, '..data_tmp'), join(volume, '..data'));
    };
    generation(1, 'one');
    symlinkSync(join('..data', 'primary'), join(volume, 'primary'));
    const path = join(base, 'config.json');
    write(path, one({ username: 'u', passwordFile: 'secrets/primary/password' }));
    const { live, until } = await follow(t, path);
    const { fingerprint } = live.current();
    // The old generation stays: only the swap above the link tells.
    generation(2, 'two');
    await until(() => password(live) === 'two');
    assert.equal(live.current().fingerprint, fingerprint, 'the text is the same');
  });

  test('uses a provider as soon as its missing password file is there', async t => {
    const base = scratch(t);
    const path = join(base, 'config.json');
    mkdirSync(join(base, 'secrets'));
    write(path, one({ username: 'u', passwordFile: 'secrets/p' }));
    const { live, until } = await follow(t, path);
    assert.equal(
      live.current().providers[0]?.misconfigured,
      'forwardProviders[0].passwordFile: secrets/p cannot be read: no such file',
    );
    write(join(base, 'secrets', 'p'), 'sesame\n');
    await until(() => password(live) === 'sesame');
    assert.equal(live.current().providers[0]?.misconfigured, undefined);
  });

  test('follows files in a directory that a change has brought in', async t => {
    const base = scratch(t);
    const path = join(base, 'config.json');
    write(path, one());
    const { live, until } = await follow(t, path);
    write(join(base, 'new', 'p'), 'one');
    replace(path, one({ username: 'u', passwordFile: 'new/p' }));
    await until(() => password(live) === 'one');
    replace(join(base, 'new', 'p'), 'two');
    await until(() => password(live) === 'two');
  });

  test('sees what no watch sees at the next poll', async t => {
    const base = scratch(t);
    const path = join(base, 'config.json');
    write(path, one({ username: 'u', passwordFile: 'later/deep/p' }));
    const { live, until } = await follow(t, path, { pollMs: 30 });
    write(join(base, 'later', 'deep', 'p'), 'sesame');
    await until(() => password(live) === 'sesame');
  });
});

describe('a change with a mistake', () => {
  test('is refused as a whole, reported once, and the last good configuration stays', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, changes, loaded, rejected, until } = await follow(t, path, { pollMs: 25 });
    const good = live.current();
    replace(path, one({ host: 'b', port: 70_000 }, { logLevel: 'debug' }));
    await until(() => rejected.length > 0);
    const problem = 'forwardProviders[0].port: 70000 must be a whole number from 1 to 65535';
    assert.deepEqual(rejected, [[problem]]);
    assert.equal(live.current(), good);
    assert.equal(live.lastError(), problem);
    replace(path, one({ host: 'b', port: 'x' }));
    await until(() => rejected.length > 1);
    assert.equal(rejected.length, 2, 'the polls in between said nothing');
    replace(path, one({ host: 'a' }));
    await until(() => live.lastError() === undefined);
    assert.equal(changes.length, 0, 'what is in use is what was in use');
    assert.equal(loaded.length, 2, 'that it is good again is reported');
  });

  for (const [what, text] of [
    ['in JSON', '{\n  "forwardProviders": [\n    {"host": "a" "port": 25}\n  ]\n}'],
    ['in its end', '{"forwardProviders": ['],
    ['in its encoding', Buffer.from([0x7b, 0xff, 0x7d])],
    ['in values', JSON.stringify({ forwardProviders: [{ host: 'a', port: 0, username: 'u' }] })],
  ] as const) {
    test(`${what} is told by a reload in the words of a first look, naming the file or the key`, async t => {
      const path = join(scratch(t), 'config.json');
      write(path, one({ host: 'a' }));
      const { live, rejected } = await follow(t, path);
      writeFileSync(path, text);
      assert.equal(await live.reload(), false);
      const [problems] = rejected;
      assert.throws(() => loadConfig(path, {}), { name: 'ConfigError', problems });
      for (const problem of problems!) {
        assert.ok(problem.startsWith(`${path}: `) || problem.startsWith('forwardProviders[0].'), problem);
      }
    });
  }

  test('that the relay itself cannot follow counts as refused', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const onChange = () => {
      throw new Error('no room');
    };
    const { live, rejected } = await follow(t, path, { onChange });
    write(path, one({ host: 'b' }));
    assert.equal(await live.reload(), false);
    assert.deepEqual(rejected[0], ['cannot be applied: no room']);
    assert.equal(host(live), 'a');
  });

  test('at the start is an error that names the file or the key', async t => {
    const base = scratch(t);
    const options = { env: {}, report: { loaded() {}, rejected() {} }, onChange() {} };
    await assert.rejects(openConfig({ ...options, path: join(base, 'none.json') }), {
      name: 'ConfigError',
      problems: [`${join(base, 'none.json')}: cannot be read: no such file`],
    });
    await assert.rejects(openConfig({ ...options, path: base }), {
      problems: [`${base}: must be a regular file`],
    });
    write(join(base, 'config.json'), '{}');
    await assert.rejects(openConfig({ ...options, path: join(base, 'config.json') }), {
      problems: ['forwardProviders: must list at least one provider, or forwardSMTP must be false'],
    });
  });
});

describe('a reload that someone asks for', () => {
  test('reports its outcome also when nothing changed', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, changes, loaded, rejected } = await follow(t, path);
    assert.equal(await live.reload(), true);
    assert.deepEqual([changes.length, loaded.length], [0, 2]);
    write(path, '{');
    assert.equal(await live.reload(), false);
    assert.equal(await live.reload(), false);
    assert.equal(rejected.length, 2);
  });

  test('leaves what needs a restart as it is, with a warning that stays', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live } = await follow(t, path);
    write(path, one({ host: 'b' }, { smtpPort: 26 }));
    assert.equal(await live.reload(), true);
    assert.equal(host(live), 'b');
    assert.equal(live.current().listener.port, 2525);
    assert.equal(await live.reload(), true);
    assert.deepEqual(live.current().warnings, [
      'smtpPort: the change from 2525 to 26 needs a restart; until then 2525 stays in use',
    ]);
  });

  test('does nothing by itself after close', async t => {
    const path = join(scratch(t), 'config.json');
    write(path, one({ host: 'a' }));
    const { live, changes } = await follow(t, path, { pollMs: 10, settleMs: 1 });
    live.close();
    write(path, one({ host: 'b' }));
    await new Promise(resolve => setTimeout(resolve, 60));
    assert.deepEqual([host(live), changes.length], ['a', 0]);
  });
});

describe('loading once', () => {
  test('takes relative paths from the directory of config.json', t => {
    const base = scratch(t);
    write(join(base, 'p'), 'sesame');
    write(join(base, 'config.json'), one({ username: 'u', passwordFile: 'p' }));
    assert.equal(loadConfig(join(base, 'config.json'), {}).providers[0]?.credentials?.password, 'sesame');
  });

  test('listens where the environment says when the file does not', t => {
    const path = join(scratch(t), 'config.json');
    write(path, one());
    const env = { MAILRELAY_DEFAULT_HOST: '0.0.0.0' };
    assert.equal(loadConfig(path, env).listener.host, '0.0.0.0');
    assert.equal(loadConfig(path, env).health.host, '0.0.0.0');
    write(path, one({}, { smtpHost: '127.0.0.1' }));
    assert.equal(loadConfig(path, env).listener.host, '127.0.0.1');
  });

  test('never waits for a pipe', t => {
    const base = scratch(t);
    write(join(base, 'config.json'), one({ username: 'u', passwordFile: '/dev/zero' }));
    assert.equal(
      loadConfig(join(base, 'config.json'), {}).providers[0]?.misconfigured,
      'forwardProviders[0].passwordFile: /dev/zero cannot be read: not a regular file',
    );
  });
});
