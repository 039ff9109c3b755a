import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { Batch, type Outcome } from '../../../relay/spool/batch.ts';
import { Claims, Counts } from '../../../relay/spool/claims.ts';
import type { MessageId } from '../../../relay/spool/message.ts';
import { troubleOf } from '../../../relay/spool/trouble.ts';

test('a claim that ended between two transactions stays ended when the next one is undone', t => {
  const database = new DatabaseSync(':memory:');
  t.after(() => database.close());
  const claims = new Claims();
  const id = '0mws84nutqs2gr9mg' as MessageId;
  claims.take(id, 1);
  claims.committed();
  claims.end(id);
  const batch = new Batch({
    database,
    claims,
    counts: new Counts(),
    troubleOf,
    makeRoom: () => undefined,
    failed: error => assert.fail(String(error)),
    step: undefined,
  });
  const outcomes: Outcome[] = [];
  const run = () => {
    throw new Error('the database does not like it');
  };
  batch.run([{ writes: true, frees: false, bytes: 0, run, answer: outcome => outcomes.push(outcome) }]);
  assert.equal(outcomes.length, 1);
  assert.ok('kind' in outcomes[0]!);
  assert.equal(claims.has(id), false, 'nobody would end it a second time');
});
