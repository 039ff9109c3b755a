import assert from 'node:assert/strict';
import { describe, mock, test } from 'node:test';
import { Allowance } from '../../../relay/delivery/allowance.ts';
import { providerConfig } from '../../smtp/provider-config.ts';

const { limits } = providerConfig({ host: 'p.test', port: 25 }, { limits: { maxConnections: 10 } });

function allowance(): { made: Allowance; asked: () => number } {
  let asked = 0;
  const made = new Allowance({
    limits: () => limits,
    now: () => 0,
    beforeTrial: () => undefined,
    again: () => asked++,
  });
  return { made, asked: () => asked };
}

describe('what a provider may be given', () => {
  test('after it refused one connection more: so many as it had, until a minute is over, which is told', t => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const { made, asked } = allowance();
    made.refusedBeyond(2, 'said');
    assert.equal(made.connections, 2);
    mock.timers.tick(59_999);
    assert.deepEqual([made.connections, asked()], [2, 0]);
    mock.timers.tick(1);
    assert.deepEqual([made.connections, asked()], [10, 1]);
  });

  test('in doubt, what it said holds; what closed doors seemed to mean does not', t => {
    const { made } = allowance();
    t.after(() => made.stop());
    made.refusedBeyond(2, 'said');
    made.doubt();
    assert.equal(made.connections, 2);
    made.refusedBeyond(2, 'guessed');
    made.doubt();
    assert.equal(made.connections, 10);
  });

  test('stopped: nobody is told of the end of that minute', t => {
    mock.timers.enable({ apis: ['setTimeout'] });
    t.after(() => mock.timers.reset());
    const { made, asked } = allowance();
    made.refusedBeyond(2, 'said');
    made.stop();
    mock.timers.tick(60_000);
    assert.equal(asked(), 0);
  });
});
