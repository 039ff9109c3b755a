/** The first thing a newcomer starts: the program without a config.json, in an empty directory. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { Run } from '../clients/relay-process.ts';
import { until } from '../smtp/wait.ts';

/** Starts the demonstration. What it writes is under `directory`. */
async function begin(t: TestContext, more: readonly string[]): Promise<{ run: Run; directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-newcomer-'));
  const run = new Run('', { args: ['run', ...more], cwd: directory, env: { TMPDIR: directory } });
  t.after(async () => {
    if (run.ending === undefined) run.signal('SIGKILL');
    await run.ended();
    await rm(directory, { recursive: true, force: true });
  });
  return { run, directory };
}

/** Each is found after the one before it. */
function assertInOrder(text: string, story: readonly RegExp[]): void {
  let at = 0;
  for (const part of story) {
    const found = part.exec(text.slice(at));
    assert.ok(found, `${part} is missing after\n${text.slice(0, at)}\nin\n${text.slice(at)}`);
    at += found.index + found[0].length;
  }
}

const story = [
  /MailRelay listens on 127\.0\.0\.1:\d+, configured by \S+config\.json:/,
  /primary +127\.0\.0\.1:\d+ +STARTTLS, with authentication/,
  /backup +127\.0\.0\.1:\d+ +STARTTLS, with authentication/,
  /emergency +127\.0\.0\.1:\d+ +TLS from the first byte, with authentication/,
  /-- 1\. primary is down, backup refuses the password, emergency is healthy/,
  /attempt +primary try 1\/3 +connect: .*again in 1 s/,
  /attempt +backup try \d\/\d +auth: 535 /,
  /provider +backup is suspended/,
  /attempt +emergency try 1\/3 +delivered in /,
  /delivered .* by emergency after /,
  /-- 2\. emergency goes down as well/,
  /waiting .* in emails\/failed, again in /,
  /it waits on disk: \S+\/emails\/failed\/[0-9a-z]{17}\.eml/,
  /-- 3\. primary comes back/,
  /delivered .* by primary after /,
  /Every mail that got its 250 has arrived, once\./,
  /listener +smtp:\/\/127\.0\.0\.1:\d+/,
];

describe('the program without a config.json', { concurrency: 2 }, () => {
  test('with --once tells the whole story with the trail of tries, and ends with 0', async t => {
    const { run, directory } = await begin(t, ['--once']);
    assert.deepEqual(await run.ended(), { code: 0, signal: null }, run.stdout + run.stderr);
    assert.equal(run.stderr, '');
    assertInOrder(run.stdout, story);
    assert.doesNotMatch(run.stdout, /password[123]|another password/);
    assert.deepEqual(await readdir(directory), [], 'nothing is left behind');
  });

  test('stays up at the addresses that it prints until it is stopped', async t => {
    const { run, directory } = await begin(t, []);
    const printed = (what: string): Promise<RegExpExecArray> =>
      until(() => new RegExp(`^${what} +(http\\S+)`, 'm').exec(run.stdout), `the address of ${what}`, 90_000);
    const [, status = ''] = await printed('status');
    const [, metrics = ''] = await printed('metrics');
    const { providers } = (await (await fetch(status)).json()) as { providers: { state: string }[] };
    assert.deepEqual(
      providers.map(({ state }) => state),
      ['active', 'suspended', 'failing'],
    );
    assert.match(await (await fetch(metrics)).text(), /^mailrelay_provider_messages_delivered_total\{/m);
    assert.equal(run.ending, undefined);
    run.signal('SIGINT');
    assert.deepEqual(await run.ended(), { code: 0, signal: null });
    assert.deepEqual(await readdir(directory), [], 'nothing is left behind');
  });
});
