import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type FileResult, runFile } from '../../runner/run-file.ts';

const start = "import { describe, before, test } from 'node:test';\n";

describe('running a test file', () => {
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'run-file-'));
  });
  after(() => rm(directory, { recursive: true }));

  async function run(source: string, timeout = 30_000): Promise<FileResult> {
    const file = join(directory, `${crypto.randomUUID()}.test.ts`);
    await writeFile(file, start + source);
    return runFile({ file, timeout });
  }

  const outcomes = ({ results }: FileResult): readonly string[] =>
    results.map(({ outcome, name }) => `${outcome} ${name}`);

  test('counts tests and leaves suites out', async () => {
    const result = await run("describe('suite', () => { test('one', () => {}); test('two', () => {}); });");
    assert.deepEqual(outcomes(result), ['passed one', 'passed two']);
  });

  test('tells why a test was skipped', async () => {
    const { results } = await run("test('later', { skip: 'no root here' }, () => {});");
    assert.deepEqual(results, [{ name: 'later', outcome: 'skipped', reason: 'no root here' }]);
  });

  test('counts a failed test once, however deep it is, and shows what it said', async () => {
    const result = await run(
      "describe('suite', () => { test('bad', () => { throw new Error('the reason'); }); });",
    );
    assert.deepEqual(outcomes(result), ['failed bad']);
    assert.match(result.output, /the reason/);
  });

  test('a hook that fails is a failure', async () => {
    const result = await run(
      "describe('suite', () => { before(() => { throw new Error('hook'); }); test('t', () => {}); });",
    );
    assert.ok(result.results.some(({ outcome }) => outcome === 'failed'));
    assert.match(result.output, /hook/);
  });

  test('a file that crashes while it loads is a failure', async () => {
    const result = await run("throw new Error('at load');");
    assert.deepEqual(outcomes(result), ['failed ended with exit code 1']);
    assert.match(result.output, /at load/);
  });

  test('a file without tests is a failure', async () => {
    assert.deepEqual(outcomes(await run('')), ['failed ran no test']);
  });

  test('a file that passes its tests and then hangs is a failure that names the time', async () => {
    const result = await run("test('fine', () => {}); setInterval(() => {}, 1000);", 2_000);
    assert.ok(outcomes(result).includes('failed did not end within 2 s'), outcomes(result).join());
    assert.match(result.output, /\.test\.ts did not end within 2 s/);
  });

  test('what a file started and forgot is killed with it', async () => {
    const source = `import { spawn } from 'node:child_process';
      test('starts', () => { const child = spawn('sleep', ['600'], { stdio: 'inherit' }); child.unref(); console.log('pid', child.pid); });`;
    const { output } = await run(source);
    const pid = Number(/pid (\d+)/.exec(output)?.[1]);
    const isGone = (): boolean => {
      try {
        process.kill(pid, 0);
        return false;
      } catch {
        return true;
      }
    };
    while (!isGone()) await new Promise(resolve => setTimeout(resolve, 10));
  });
});
