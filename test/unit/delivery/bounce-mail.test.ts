import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sendBounce } from '../../../relay/delivery/bounce-mail.ts';
import type { MessageId, Recipient } from '../../../relay/spool/message.ts';
import {
  type Arrival,
  type Draft,
  type Progress,
  type Spool,
  SpoolError,
} from '../../../relay/spool/spool.ts';
import { storedMessage } from './fake-session.ts';

const rejected: Recipient = {
  address: 'b@example.net',
  state: 'rejected',
  reply: '550 5.1.1 no such user',
  at: 1,
};

function spooling(
  read: () => AsyncIterable<Buffer>,
  commit: (arrival: Arrival) => Promise<void> = async () => undefined,
) {
  const written: Buffer[] = [];
  const arrivals: Arrival[] = [];
  const progress: (Progress | undefined)[] = [];
  const begun: unknown[] = [];
  let aborted = 0;
  const draft: Draft = {
    id: '0m000000000000002' as MessageId,
    write: async chunk => void written.push(chunk),
    commit: async (arrival, told) => {
      await commit(arrival);
      progress.push(told);
      arrivals.push(arrival);
    },
    abort: () => {
      aborted += 1;
    },
  };
  const spool: Pick<Spool, 'begin' | 'read'> = {
    begin: options => {
      begun.push(options);
      return draft;
    },
    read,
  };
  const send = (message = storedMessage(), recipients: readonly Recipient[] = [rejected]) =>
    sendBounce(message, recipients, { spool, hostname: 'relay.test', now: () => 0 });
  return {
    send,
    arrivals,
    progress,
    begun,
    text: () => Buffer.concat(written).toString(),
    aborted: () => aborted,
  };
}

async function* body(...chunks: string[]): AsyncIterable<Buffer> {
  for (const chunk of chunks) yield Buffer.from(chunk);
}

async function* unreadable(): AsyncIterable<Buffer> {
  yield Buffer.from('Subject: cut\r\n');
  throw new SpoolError('not-found', 'the body is missing');
}

describe('a bounce', () => {
  test('goes into the spool under the null sender, to the sender, with the header of the mail', async () => {
    const { send, arrivals, text } = spooling(() => body('Subject: hello\r\n', '\r\nsecret content\r\n'));
    await send();
    assert.deepEqual(arrivals[0]?.envelope.sender, '');
    assert.deepEqual(arrivals[0]?.envelope.recipients, ['app@example.com']);
    assert.match(text(), /Subject: hello/);
    assert.match(text(), /no such user/);
    assert.doesNotMatch(text(), /secret content/);
  });

  test('is committed with the word that the sender was told, and may use the reserve of the disk', async () => {
    const { send, progress, begun } = spooling(() => body(''));
    const waits: Recipient = { address: 'a@example.net', state: 'pending' };
    const told = await send(storedMessage(), [waits, rejected]);
    assert.deepEqual(told, [waits, { ...rejected, bounced: true }]);
    assert.deepEqual(progress, [{ id: storedMessage().id, recipients: told }]);
    assert.deepEqual(begun, [{ owed: true }]);
  });

  test('is never made for a null sender', async () => {
    const { send, arrivals, aborted } = spooling(() => body(''));
    const told = await send(storedMessage({ sender: '' }));
    assert.deepEqual(told, [{ ...rejected, bounced: true }], 'nobody is left to tell of');
    assert.deepEqual([arrivals.length, aborted()], [0, 0]);
  });

  test('is not made when nobody ended badly', async () => {
    const { send, arrivals, aborted } = spooling(() => body(''));
    await send(storedMessage(), [{ address: 'a@example.net', state: 'delivered' }]);
    assert.deepEqual([arrivals.length, aborted()], [0, 1]);
  });

  test('leaves out whom the sender was told of before', async () => {
    const { send, text } = spooling(() => body(''));
    const before: Recipient = { ...rejected, address: 'told@example.net', bounced: true };
    await send(storedMessage(), [before, rejected, { address: 'a@example.net', state: 'pending' }]);
    assert.match(text(), /Subject: Undelivered mail: 1 of 3 recipients/);
    assert.match(text(), /b@example\.net/);
    assert.doesNotMatch(text(), /told@example\.net/);
  });

  test('goes without the header when the body cannot be read any more', async () => {
    const { send, arrivals, text } = spooling(unreadable);
    await send();
    assert.equal(arrivals.length, 1);
    assert.match(text(), /no such user/);
  });

  test('that the spool refuses leaves nothing behind and rejects', async () => {
    const full = new SpoolError('disk-full', 'full');
    const { send, aborted } = spooling(
      () => body(''),
      () => Promise.reject(full),
    );
    await assert.rejects(send(), full);
    assert.equal(aborted(), 1);
  });
});
