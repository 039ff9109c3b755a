import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Failure, Reply } from '../../../relay/delivery/failure.ts';
import { Ledger } from '../../../relay/delivery/ledger.ts';
import { judgeTransaction } from '../../../relay/delivery/outcome.ts';
import type { TransactionReport } from '../../../relay/delivery/session.ts';
import type { Recipient } from '../../../relay/spool/message.ts';

const recipients = (...addresses: string[]): Recipient[] =>
  addresses.map(address => ({ address, state: 'pending' }));

const ok: Reply = { code: 250, text: 'fine' };
const noUser: Reply = { code: 550, enhanced: '5.1.1', text: 'no such user' };
const relayingDenied: Reply = { code: 554, enhanced: '5.7.1', text: 'relay access denied' };
const greylisted: Reply = { code: 450, enhanced: '4.2.0', text: 'greylisted' };
const tooMany: Reply = { code: 452, enhanced: '4.5.3', text: 'too many recipients' };

function carry(
  ledger: Ledger,
  provider: string,
  report: Partial<TransactionReport>,
): ReturnType<Ledger['apply']> {
  const open = ledger.open();
  const outcome = judgeTransaction({ recipients: open.map(() => ok), unanswered: false, ...report }, []);
  return ledger.apply(
    provider,
    1000,
    open.map((index, at) => ({ index, outcome: outcome.recipients[at]! })),
  );
}

const states = (ledger: Ledger): string[] => ledger.recipients.map(({ state }) => state);

test('one accepted recipient is no success for the others', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x', 'c@x'));
  carry(ledger, 'p', { recipients: [ok, noUser, greylisted], accepted: ok });
  assert.deepEqual(states(ledger), ['delivered', 'rejected', 'pending']);
  assert.deepEqual(ledger.open(), [2], 'the greylisted one may go to the next provider');
  assert.match(ledger.recipients[1]?.reply ?? '', /^550 5\.1\.1 no such user/);
});

test('a delivered or rejected recipient is told as settled, so that it is committed first', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x'));
  assert.equal(carry(ledger, 'p', { recipients: [ok, greylisted], accepted: ok }).settled, true);
  assert.equal(carry(ledger, 'q', { recipients: [greylisted], accepted: ok }).settled, false);
});

test('recipients beyond a limit of the transaction are left for a new one at once', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x', 'c@x'));
  const { rest, retry } = carry(ledger, 'p', { recipients: [ok, tooMany, tooMany], accepted: ok });
  assert.deepEqual(rest, [1, 2]);
  assert.deepEqual(retry, []);
  assert.deepEqual(ledger.open(), [1, 2]);
});

test('those of a message that had too many recipients are left for new ones at once; who was refused by name is not', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x', 'c@x'));
  const failure: Failure = { stage: 'dot', fault: 'reply', reply: tooMany, message: '' };
  const { rest, retry, settled } = carry(ledger, 'p', { recipients: [ok, noUser, ok], failure });
  assert.deepEqual([rest, retry, settled], [[0, 2], [], true]);
  assert.deepEqual(ledger.open(), [0, 2]);
  assert.deepEqual(states(ledger), ['pending', 'rejected', 'pending']);
});

test('a policy refusal ends a recipient only when every configured provider has refused it', () => {
  const ledger = new Ledger(recipients('a@x'));
  carry(ledger, 'p', { recipients: [relayingDenied] });
  ledger.rejectWhereAllRefused(['p', 'q']);
  assert.deepEqual(states(ledger), ['pending']);
  carry(ledger, 'q', { recipients: [relayingDenied] });
  ledger.rejectWhereAllRefused(['p', 'q']);
  assert.deepEqual(states(ledger), ['rejected']);
});

test('after an unanswered final dot the message goes nowhere else in this round', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x'));
  const failure: Failure = { stage: 'dot', fault: 'lost', message: 'connection reset' };
  const { retry } = carry(ledger, 'p', { recipients: [ok, noUser], failure });
  assert.deepEqual(retry, []);
  assert.deepEqual(ledger.open(), []);
  assert.deepEqual(states(ledger), ['pending', 'rejected'], 'a refusal by name holds all the same');
  assert.equal(ledger.recipients[0]?.ambiguous, 1);
});

test('the reply of a refused recipient is kept when DATA then fails for the rest', () => {
  const ledger = new Ledger(recipients('a@x', 'b@x'));
  const failure: Failure = {
    stage: 'data',
    fault: 'reply',
    reply: { code: 451, text: 'later' },
    message: '451 later',
  };
  const { retry } = carry(ledger, 'p', { recipients: [noUser, ok], failure });
  assert.deepEqual(retry, [1]);
  assert.deepEqual(states(ledger), ['rejected', 'pending']);
});
