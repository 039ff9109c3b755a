import assert from 'node:assert/strict';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { statusSchema } from '../../../operator/api/schema-status.ts';
import { plainWords } from '../../../operator/reconcile/plain-words.ts';
import {
  fetchRelayStatus,
  parseRelayStatus,
  UnknownStatusError,
} from '../../../operator/reconcile/relay-status.ts';
import { statusOf } from '../../../operator/reconcile/status.ts';
import { observed, podStatus } from './observations.ts';

const good = podStatus();

/** A server on loopback that answers so; resolves with its port. */
async function serving(t: TestContext, answer: RequestListener): Promise<number> {
  const server = createServer(answer);
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe('the status of a pod', () => {
  test('is what it answers, without what the operator does not read', async t => {
    const port = await serving(t, (_, response) => {
      response.end(JSON.stringify({ ...good, uptimeSeconds: 1, warnings: ['x'.repeat(1000)] }));
    });
    assert.deepEqual(await fetchRelayStatus('127.0.0.1', port), good);
  });

  const answers: readonly (readonly [string, RequestListener, RegExp])[] = [
    ['no JSON', (_, response) => response.end('<html>'), /\/status answered with no JSON: see its log/],
    ['nothing', (_, response) => response.end(), /\/status answered with no JSON/],
    ['null', (_, response) => response.end('null'), /what it answers at \/status is not .*the document: /],
    [
      'HTTP 500',
      (_, response) => response.writeHead(500).end(JSON.stringify(good)),
      /answered with HTTP 500/,
    ],
    [
      'a redirect',
      (_, response) => response.writeHead(302, { Location: 'http://127.0.0.1:1/' }).end(),
      /answered with HTTP 302/,
    ],
    [
      'megabytes',
      (_, response) => response.end(Buffer.alloc(3 * 2 ** 20, 0x20)),
      /answered with more than 1048576 bytes/,
    ],
    ['half an answer', (_, response) => half(response), /cannot be asked at port \d+ \(\w+\): see its log/],
  ];
  for (const [what, answer, message] of answers) {
    test(`is unknown when it answers ${what}, and the error says so`, async t => {
      const port = await serving(t, answer);
      await assert.rejects(fetchRelayStatus('127.0.0.1', port), { name: 'UnknownStatusError', message });
    });
  }

  test('is unknown when it takes its time, however steadily it drips', async t => {
    const port = await serving(t, (_, response) => {
      const drip = setInterval(() => response.write(' '), 50);
      response.on('close', () => clearInterval(drip));
    });
    const message = /cannot be asked at port \d+ \(no answer in 2000 ms\)/;
    await assert.rejects(fetchRelayStatus('127.0.0.1', port), { name: 'UnknownStatusError', message });
  });

  test('is unknown when nobody listens, and the error names what to look at', async t => {
    const port = await serving(t, () => undefined);
    const server = createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const closed = (server.address() as AddressInfo).port;
    await new Promise(resolve => server.close(resolve));
    assert.notEqual(port, closed);
    const message = `cannot be asked at port ${closed} (ECONNREFUSED): see its log, and whether a NetworkPolicy keeps the operator out`;
    await assert.rejects(fetchRelayStatus('127.0.0.1', closed), { message });
  });

  const documents: readonly (readonly [string, object, RegExp])[] = [
    ['a state that does not exist', { providers: [provider({ state: 'gone' })] }, /providers.0.state/],
    ['a time that is none', { providers: [provider({ since: 'yesterday' })] }, /providers.0.since/],
    [
      'less than no mail',
      { queue: { ...good.queue, failed: { messages: -1, bytes: 0 } } },
      /failed.messages/,
    ],
    ['half a message', { queue: { ...good.queue, failed: { messages: 0.5, bytes: 0 } } }, /failed.messages/],
    [
      'more mail than there is',
      { queue: { ...good.queue, dead: { messages: 1e300, bytes: 0 } } },
      /dead.messages/,
    ],
    ['a queue without a state', { queue: {} }, /queue.active/],
    ['a disk in words', { disk: 'full' }, /disk/],
    ['more providers than a relay can have', { providers: Array(40).fill(provider({})) }, /providers/],
    [
      'thirty providers of which nothing is right',
      { providers: Array(30).fill({ name: 'x'.repeat(2000) }) },
      /providers/,
    ],
  ];
  for (const [what, wrong, message] of documents) {
    test(`is unknown when it has ${what}; the error names the field and the version`, () => {
      const text = JSON.stringify({ ...good, version: '9.9.9', ...wrong });
      assert.throws(() => parseRelayStatus(text), { name: 'UnknownStatusError', message });
      assert.throws(
        () => parseRelayStatus(text),
        ({ message: told }: Error) => told.length <= 1100,
      );
      assert.throws(
        () => parseRelayStatus(text),
        /what version 9.9.9 answers .* use an image of the operator's/,
      );
    });
  }

  test('of a relay that does not tell the size of its volume is as good as any', () => {
    const { totalBytes: _, ...disk } = { totalBytes: 0, ...good.disk };
    assert.deepEqual(parseRelayStatus(JSON.stringify({ ...good, disk })).disk, disk);
  });

  test('says what is in quarantine, or nothing of it: as an older relay', () => {
    const said = (more: object) => parseRelayStatus(JSON.stringify({ ...good, ...more })).quarantine;
    assert.deepEqual(said({ quarantine: { files: 2 } }), { files: 2 });
    assert.equal(said({ quarantine: undefined }), undefined);
    assert.throws(() => said({ quarantine: { files: -1 } }), UnknownStatusError);
    assert.throws(() => said({ quarantine: 0 }), UnknownStatusError);
  });

  test('never makes a status that the API server would refuse or change', () => {
    const evil = `\u001b[31m\r\n\u0000${'😀'.repeat(600)}\ud800`;
    const wrong = {
      ...good,
      version: evil,
      spoolFailure: evil,
      lastConfigError: { errors: Array(100).fill(evil) },
      providers: ['primary', 'constructor', '__proto__'].map(name =>
        provider({ name, state: 'failing', reason: evil, message: evil }),
      ),
      queue: { ...good.queue, failed: { messages: 1e12, bytes: 1e300, oldestAgeSeconds: 1e12 } },
    };
    const status = parseRelayStatus(JSON.stringify(wrong));
    const reports = Array.from({ length: 1000 }, (_, at) => ({ pod: `mail-${at}`, status, askedAt: 0 }));
    const long = 'x'.repeat(5000);
    const made = statusOf(observed({ reports }), { resendAt: long, reconcileAt: long }, 0);
    assert.deepEqual(statusSchema.parse(made), made);
    const text = JSON.stringify(made);
    assert.ok(text.length < 20_000, `${text.length} bytes`);
    assert.ok(text.isWellFormed() && !/\\u|\\n|\\r/.test(text), text.slice(0, 2000));
  });
});

describe('words of others', () => {
  const cases: readonly (readonly [string, number, string])[] = [
    ['as they are', 20, 'as they are'],
    ['  two\r\n\tlines  ', 20, 'two lines'],
    ['red \u001b[31m, hidden \u200b\u202e', 30, 'red [31m, hidden'],
    ['too long', 4, 'too…'],
    ['ab😀', 3, 'ab…'],
    ['\ud800', 10, '\ufffd'],
    ['', 10, ''],
  ];
  for (const [text, longest, wanted] of cases) {
    test(`${JSON.stringify(text)} become ${JSON.stringify(wanted)}`, () => {
      assert.equal(plainWords(text, longest), wanted);
    });
  }
});

function provider(more: object): object {
  return { ...good.providers[0], ...more };
}

function half(response: Parameters<RequestListener>[1]): void {
  response.writeHead(200, { 'Content-Length': '1000' });
  response.write('{');
  setImmediate(() => response.destroy());
}
