import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { abandonable, GivenUp } from '../../../relay/delivery/abandonable.ts';
import { gate } from '../../smtp/wait.ts';

/** Rejections that nobody takes while the test runs: each would end the process. */
function unheard(t: TestContext): unknown[] {
  const reasons: unknown[] = [];
  const listener = (reason: unknown): void => void reasons.push(reason);
  process.on('unhandledRejection', listener);
  t.after(() => process.off('unhandledRejection', listener));
  return reasons;
}

/** Node.js tells of unhandled rejections at the end of a turn. */
const turn = () => new Promise(resolve => setImmediate(resolve));

describe('a body that may be given up', () => {
  test('is read to its end while nobody gives up', async () => {
    async function* body() {
      yield 1;
      yield 2;
    }
    const { signal } = new AbortController();
    assert.deepEqual(await Array.fromAsync(abandonable(body(), signal)), [1, 2]);
  });

  test('is not asked for anything once it was given up, so that no failure goes unheard', async t => {
    const reasons = unheard(t);
    let asked = 0;
    async function* broken(): AsyncGenerator<number> {
      asked += 1;
      yield asked;
      throw new Error('EIO');
    }
    const stop = new AbortController();
    const body = abandonable(broken(), stop.signal)[Symbol.asyncIterator]();
    assert.equal((await body.next()).value, 1);
    stop.abort();
    await assert.rejects(body.next(), GivenUp);
    await assert.rejects(
      Array.fromAsync(abandonable(broken(), AbortSignal.abort())),
      GivenUp,
      'given up before it began',
    );
    await turn();
    await turn();
    assert.deepEqual(reasons, []);
    assert.equal(asked, 1);
  });

  test('whose disk fails after it was given up troubles nobody', async t => {
    const reasons = unheard(t);
    const disk = gate();
    async function* slow(): AsyncGenerator<number> {
      await disk.opened;
      yield* [];
      throw new Error('EIO');
    }
    const stop = new AbortController();
    const next = abandonable(slow(), stop.signal)[Symbol.asyncIterator]().next();
    stop.abort();
    await assert.rejects(next, GivenUp);
    disk.open();
    await turn();
    await turn();
    assert.deepEqual(reasons, []);
  });
});
