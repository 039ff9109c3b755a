import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { judge } from '../../../relay/delivery/judge.ts';
import { judgeTransaction } from '../../../relay/delivery/outcome.ts';
import { Provider } from '../../../relay/delivery/provider.ts';
import type { TransactionReport } from '../../../relay/delivery/session.ts';
import { tellAmbiguous, tellAttempt, tellOpenFailed, tellSettlement } from '../../../relay/delivery/tell.ts';
import type { Recipient } from '../../../relay/spool/message.ts';
import type { RelayEvent } from '../../../relay/telemetry/events.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { storedMessage, surroundings } from './fake-session.ts';

const config = providerConfig({ host: 'p.test', port: 25 }, { name: 'p' });
const provider = new Provider(config, surroundings().deps);
const ok = { code: 250, text: 'ok' };

function attemptOf(report: TransactionReport): RelayEvent {
  const events: RelayEvent[] = [];
  tellAttempt(event => events.push(event), {
    provider,
    message: storedMessage(),
    indexes: report.recipients.map((_, index) => index),
    tryNumber: 2,
    tries: 3,
    startedAt: 1000,
    now: 1250,
    report,
    outcome: judgeTransaction(report, []),
    delayMs: undefined,
  });
  assert.equal(events.length, 1);
  return events[0]!;
}

describe('an attempt as told', () => {
  const common = {
    event: 'attempt',
    id: storedMessage().id,
    provider: 'p',
    host: 'p.test',
    try: 2,
    tries: 3,
    durationMs: 250,
  };

  test('delivered: the answer to the dot', () => {
    assert.deepEqual(
      attemptOf({
        recipients: [ok],
        accepted: { code: 250, enhanced: '2.0.0', text: 'queued' },
        unanswered: false,
      }),
      {
        ...common,
        recipients: 1,
        stage: 'dot',
        outcome: 'delivered',
        class: 'none',
        code: 250,
        enhanced: '2.0.0',
        reply: 'queued',
      },
    );
  });

  test('partial: as delivered, for those that were', () => {
    const told = attemptOf({
      recipients: [ok, { code: 450, text: 'full' }],
      accepted: ok,
      unanswered: false,
    });
    assert.deepEqual(told, {
      ...common,
      recipients: 2,
      stage: 'dot',
      outcome: 'partial',
      class: 'none',
      code: 250,
      reply: 'ok',
    });
  });

  test('refused at RCPT: the first refusal', () => {
    const told = attemptOf({
      recipients: [{ code: 550, enhanced: '5.1.1', text: 'unknown' }],
      unanswered: false,
    });
    assert.deepEqual(told, {
      ...common,
      recipients: 1,
      stage: 'rcpt',
      outcome: 'refused',
      class: 'mailbox',
      code: 550,
      enhanced: '5.1.1',
      reply: 'unknown',
    });
  });

  test('broken: where, and the words for people where there was no reply', () => {
    const told = attemptOf({
      recipients: [ok],
      failure: { stage: 'data', fault: 'timeout', message: 'no answer within 1 s' },
      unanswered: false,
    });
    assert.deepEqual(told, {
      ...common,
      recipients: 1,
      stage: 'data',
      outcome: 'failed',
      class: 'network',
      reply: 'no answer within 1 s',
    });
  });

  test('answered out of place: what was wrong with the reply, which alone may read like a success', () => {
    const message = 'answered out of place with 250 ok';
    const told = attemptOf({
      recipients: [ok],
      failure: { stage: 'data', fault: 'garbled', reply: { code: 250, text: 'ok' }, message },
      unanswered: false,
    });
    assert.deepEqual(told, {
      ...common,
      recipients: 1,
      stage: 'data',
      outcome: 'failed',
      class: 'protocol',
      code: 250,
      reply: message,
    });
  });

  test('unknown: ambiguous, at the dot, and counted with those it concerns', () => {
    const report: TransactionReport = {
      recipients: [ok, { code: 550, text: 'no' }],
      failure: { stage: 'dot', fault: 'lost', message: 'gone' },
      unanswered: false,
    };
    const told = attemptOf(report);
    assert.ok(told.event === 'attempt' && told.outcome === 'ambiguous' && told.stage === 'dot');
    const events: RelayEvent[] = [];
    tellAmbiguous(event => events.push(event), 'm', 'p', judgeTransaction(report, []));
    assert.deepEqual(events, [
      { event: 'delivery-ambiguous', id: 'm', provider: 'p', recipients: 1, message: 'gone' },
    ]);
  });

  test('a connection that could not be made belongs to no message', () => {
    const events: RelayEvent[] = [];
    const failure = {
      stage: 'greeting',
      fault: 'reply',
      reply: { code: 554, enhanced: '5.3.2', text: 'no service' },
      message: '',
    } as const;
    tellOpenFailed(event => events.push(event), {
      config,
      failure,
      verdict: judge(failure, { acceptedBefore: 0 }, []),
      tryNumber: 1,
      tries: 3,
      durationMs: 7,
      retryInMs: undefined,
    });
    assert.deepEqual(events, [
      {
        event: 'attempt',
        provider: 'p',
        host: 'p.test',
        try: 1,
        tries: 3,
        recipients: 0,
        stage: 'greeting',
        outcome: 'failed',
        class: 'service',
        durationMs: 7,
        code: 554,
        enhanced: '5.3.2',
        reply: 'no service',
      },
    ]);
  });
});

describe('a settlement as told', () => {
  const recipients: Recipient[] = [
    { address: 'a@example.net', state: 'delivered', provider: 'p', reply: '250 ok' },
    { address: 'b@example.net', state: 'rejected', provider: 'p', reply: '550 no' },
    { address: 'c@example.net', state: 'pending' },
  ];
  const message = storedMessage({
    receivedAt: 1000,
    recipients: recipients.map(({ address }) => ({ address, state: 'pending' })),
  });
  const tell = (told: typeof message, settlement: Parameters<typeof tellSettlement>[2]): RelayEvent[] => {
    const events: RelayEvent[] = [];
    tellSettlement(event => events.push(event), told, settlement, 5000);
    return events;
  };

  test('each recipient whose fate was sealed, once, with the time it took', () => {
    const events = tell(message, { kind: 'progress', recipients });
    assert.deepEqual(events, [
      {
        event: 'recipient-delivered',
        id: message.id,
        recipient: 'a@example.net',
        delayMs: 4000,
        provider: 'p',
        reply: '250 ok',
      },
      {
        event: 'recipient-rejected',
        id: message.id,
        recipient: 'b@example.net',
        delayMs: 4000,
        provider: 'p',
        reply: '550 no',
      },
    ]);
    assert.deepEqual(tell({ ...message, recipients }, { kind: 'progress', recipients }), []);
  });

  test('a failed round: how many wait, until when, why', () => {
    const events = tell(
      { ...message, recipients, rounds: 1 },
      { kind: 'failed', recipients, dueAt: 65_000, reason: 'greylisted' },
    );
    assert.deepEqual(events, [
      { event: 'round-failed', id: message.id, rounds: 2, pending: 1, dueInMs: 60_000, reason: 'greylisted' },
    ]);
  });

  test('a dead message: why', () => {
    const events = tell({ ...message, recipients }, { kind: 'dead', recipients, reason: '1 of 3 rejected' });
    assert.deepEqual(events, [{ event: 'message-dead', id: message.id, reason: '1 of 3 rejected' }]);
  });
});
