import assert from 'node:assert/strict';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { serveAdmin } from '../../../relay/admin/admin-server.ts';
import { framesType, readFrames } from '../../../relay/admin/frames.ts';
import type { HttpEndpoint } from '../../../relay/admin/http.ts';
import type { ReloadResult } from '../../../relay/admin/view.ts';
import { SpoolError } from '../../../relay/spool/spool.ts';
import { baseTime, FakeQueue } from './fake-queue.ts';

let queue: FakeQueue;
let endpoint: HttpEndpoint;
let reloadResult: ReloadResult;
const troubles: { reference: string; message: string }[] = [];

before(async () => {
  const forward = new Proxy({} as FakeQueue, {
    get: (_, name) => (queue[name as keyof FakeQueue] as (...args: unknown[]) => unknown).bind(queue),
  });
  endpoint = await serveAdmin({
    port: 0,
    now: () => baseTime,
    trouble: failure => troubles.push(failure),
    operations: {
      queue: forward,
      changed: (operation, count) => queue.changed.push({ operation, count }),
      reload: async () => reloadResult,
      verify: async () => [
        { provider: 'p', host: 'h', port: 25, ok: true, message: 'logged in', durationMs: 3 },
      ],
    },
  });
});
beforeEach(() => {
  queue = new FakeQueue();
  troubles.length = 0;
});
after(() => endpoint.close());

type Json = Record<string, unknown>;

const url = (path: string) => `http://127.0.0.1:${endpoint.port}${path}`;

async function get(path: string) {
  const response = await fetch(url(path));
  return { status: response.status, json: (await response.json()) as Json };
}

async function post(path: string, body: unknown, type = 'application/json') {
  const response = await fetch(url(path), {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
  return { status: response.status, json: (await response.json()) as Json };
}

/** With headers that fetch would not let through. */
function raw(headers: Record<string, string>, path = '/v1/queue'): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: '127.0.0.1', port: endpoint.port, path, headers }, response => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    request.on('error', reject).end();
  });
}

describe('who may use the admin port', () => {
  test('it listens on 127.0.0.1 alone', () => {
    assert.equal(endpoint.host, '127.0.0.1');
  });

  for (const host of ['127.0.0.1', '127.0.0.1:8026', 'localhost:1', 'LOCALHOST', '[::1]:8026']) {
    test(`Host ${host} is let through`, async () => assert.equal(await raw({ Host: host }), 200));
  }

  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '10.0.0.1',
    '127.0.0.1.evil.example',
    '127.evil',
  ]) {
    test(`Host "${host}" is refused: a name may have been rebound`, async () => {
      assert.equal(await raw({ Host: host }), 403);
    });
  }

  test('an empty Host is refused', async () => {
    assert.match(
      await speak('GET /v1/queue HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n'),
      /^HTTP\/1\.1 403 /,
    );
  });

  test('a web page is refused, whatever it calls itself', async () => {
    assert.equal(await raw({ Host: '127.0.0.1', Origin: 'http://evil.example' }), 403);
    assert.equal(await raw({ Host: '127.0.0.1', Origin: 'null' }), 403);
    assert.equal(await raw({ Host: '127.0.0.1', 'Sec-Fetch-Site': 'cross-site' }), 403);
  });

  test('a change sent the way a form can send it is refused', async () => {
    queue.add();
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data']) {
      assert.equal((await post('/v1/queue/delete', { all: true }, type)).status, 415);
    }
    assert.equal(queue.kept.size, 1);
  });

  test('no answer allows another origin', async () => {
    const response = await fetch(url('/v1/queue'), { method: 'OPTIONS' });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('access-control-allow-origin'), null);
  });
});

describe('GET /v1/queue', () => {
  test('lists messages with times in ISO 8601', async () => {
    const message = queue.add({
      recipients: [{ address: 'a@x', state: 'rejected', reply: '550 no', at: baseTime }],
    });
    const { json } = await get('/v1/queue');
    assert.deepEqual(json, {
      messages: [
        {
          ...message,
          recipients: [
            { address: 'a@x', state: 'rejected', reply: '550 no', at: '2026-01-31T12:00:00.000Z' },
          ],
          receivedAt: '2026-01-31T10:30:00.000Z',
          dueAt: '2026-01-31T12:04:00.000Z',
        },
      ],
    });
  });

  test('pages through with next', async () => {
    for (let i = 0; i < 5; i++) queue.add();
    const seen: string[] = [];
    let after = '';
    for (let page = 0; page < 4; page++) {
      const { json } = await get(`/v1/queue?limit=2${after && `&after=${after}`}`);
      seen.push(...(json['messages'] as { id: string }[]).map(({ id }) => id));
      after = (json['next'] as string | undefined) ?? '';
      if (after === '') break;
    }
    assert.deepEqual(seen, [...queue.kept.keys()]);
  });

  test('filters by state, sender, recipient and age', async () => {
    queue.add({ state: 'dead' });
    queue.add({ sender: 'Other@x' });
    queue.add({ recipients: [{ address: 'z@z', state: 'pending' }] });
    queue.add({ receivedAt: baseTime - 86_400_000 });
    const count = async (query: string) =>
      ((await get(`/v1/queue?${query}`)).json['messages'] as unknown[]).length;
    assert.equal(await count('state=dead'), 1);
    assert.equal(await count('sender=other'), 1);
    assert.equal(await count('recipient=z@z'), 1);
    assert.equal(await count('olderThan=1d'), 1);
    assert.equal(await count('state=failed&olderThan=30m'), 3);
  });

  const wrong: [string, RegExp][] = [
    ['state=lost', /^state must be one of active, failed, held, dead, not "lost"$/],
    ['olderThan=soon', /^olderThan must be a number and a unit: 90s, 30m, 2h, 1d, not "soon"$/],
    ['limit=0', /^limit must be an integer of at least 1, not 0$/],
    ['limit=1001', /^limit must be 1 to 1000, not 1001$/],
    ['limit=ten', /^limit must be an integer of at least 1, not "ten"$/],
    ['after=../x', /^after must be a message id/],
    ['sender=', /^sender must be a text of 1 to 320 characters/],
    ['status=dead', /^status is not a field of a filter; allowed: ids, state, sender/],
    ['state=dead&state=held', /^state is given twice$/],
    ['__proto__=x', /^__proto__ is not a field/],
  ];
  for (const [query, message] of wrong) {
    test(`?${query} is refused in words`, async () => {
      const { status, json } = await get(`/v1/queue?${query}`);
      assert.equal(status, 400);
      assert.match(String(json['error']), message);
    });
  }
});

describe('one message', () => {
  test('is shown by its id', async () => {
    const { id } = queue.add();
    assert.equal((await get(`/v1/queue/${id}`)).json['id'], id);
  });

  test('has its body byte for byte', async () => {
    const body = `Subject: \u00fc\r\n\r\n${'x'.repeat(200_000)}\r\n.\r\n`;
    const { id } = queue.add({}, body);
    const response = await fetch(url(`/v1/queue/${id}/body`));
    assert.equal(response.headers.get('content-type'), 'message/rfc822');
    assert.equal(await response.text(), body);
  });

  for (const change of ['', 'short\r\n', `Subject: longer\r\n\r\n${'x'.repeat(3_000_000)}\r\n`]) {
    test(`has its body as it is, not as long as it came: ${change.length} bytes`, async () => {
      const { id } = queue.add();
      queue.kept.get(id)!.body = Buffer.from(change);
      const response = await fetch(url(`/v1/queue/${id}/body`));
      assert.equal(response.status, 200);
      assert.equal(await response.text(), change);
    });
  }

  test('whose body breaks off half-way does not look whole', async () => {
    const { id } = queue.add({}, 'x'.repeat(200_000));
    queue.read = async function* () {
      yield Buffer.alloc(65_536);
      throw new SpoolError('io', 'read: EIO');
    };
    const response = await fetch(url(`/v1/queue/${id}/body`));
    await assert.rejects(response.text());
  });

  test('that is not there is 404, and what is no id is 400', async () => {
    assert.deepEqual(await get('/v1/queue/00000000000000099'), {
      status: 404,
      json: { error: 'there is no message 00000000000000099 in the queue' },
    });
    assert.equal((await get('/v1/queue/..%2f..%2fetc%2fpasswd')).status, 400);
    assert.equal((await get('/v1/queue/00000000000000099/body')).status, 404);
  });

  test('whose body cannot be read is an error and not an empty message', async () => {
    const { id } = queue.add();
    const list = queue.list.bind(queue);
    queue.list = async filter => {
      const found = await list(filter);
      queue.failure = new SpoolError('io', 'read: EIO');
      return found;
    };
    const response = await fetch(url(`/v1/queue/${id}/body`));
    assert.equal(response.status, 500);
    assert.deepEqual(await response.json(), { error: 'read: EIO' });
  });
});

describe('changing the queue', () => {
  test('resend, hold, release and delete change what the filter chooses and say how many', async () => {
    const { id } = queue.add();
    queue.add({ sender: 'b@x' });
    assert.deepEqual((await post('/v1/queue/hold', { ids: [id] })).json, { operation: 'hold', count: 1 });
    assert.equal(queue.kept.get(id)!.message.state, 'held');
    assert.deepEqual((await post('/v1/queue/release', { state: 'held' })).json, {
      operation: 'release',
      count: 1,
    });
    assert.deepEqual((await post('/v1/queue/resend', { all: true })).json, { operation: 'resend', count: 2 });
    assert.deepEqual((await post('/v1/queue/delete', { sender: 'B@' })).json, {
      operation: 'delete',
      count: 1,
    });
    assert.deepEqual(
      queue.changed.map(({ operation, count }) => `${operation} ${count}`),
      ['hold 1', 'release 1', 'resend 2', 'delete 1'],
    );
  });

  test('an empty filter is refused unless it says all', async () => {
    queue.add();
    for (const body of [{}, { all: false }, { limit: 5 }, '']) {
      const { status, json } = await post('/v1/queue/delete', body);
      assert.equal(status, 400);
      assert.match(String(json['error']), /say \{"all": true\}/);
    }
    assert.equal(queue.kept.size, 1);
  });

  test('a resend without state or ids leaves dead and held mail alone', async () => {
    const dead = queue.add({ state: 'dead' });
    queue.add({ state: 'held' });
    assert.equal((await post('/v1/queue/resend', { all: true })).json['count'], 0);
    assert.equal((await post('/v1/queue/resend', { ids: [dead.id] })).json['count'], 1);
  });

  test('a resend of held mail says what to do instead', async () => {
    queue.add({ state: 'held' });
    const { status, json } = await post('/v1/queue/resend', { state: 'held' });
    assert.equal(status, 400);
    assert.match(String(json['error']), /held mail goes by a release$/);
  });

  const wrong: [unknown, RegExp][] = [
    [{ ids: [] }, /^ids must be a list of 1 to 10000 message ids/],
    [{ ids: 'x' }, /^ids must be a list/],
    [{ ids: ['../../x'] }, /^ids must be a list .* not \["\.\.\/\.\.\/x"\]$/],
    [{ all: 'yes' }, /^all must be true or false, not "yes"$/],
    [{ state: null }, /^state must be one of .* not null$/],
    [{ sneder: 'x' }, /^sneder is not a field/],
    ['[1]', /^the body must be a JSON object$/],
    ['{', /^the body is not JSON: /],
  ];
  for (const [body, message] of wrong) {
    test(`${JSON.stringify(body)} is refused in words`, async () => {
      const { status, json } = await post('/v1/queue/hold', body);
      assert.equal(status, 400);
      assert.match(String(json['error']), message);
      assert.equal(queue.calls.length, 0);
    });
  }

  test('a body without end is refused with an answer', async () => {
    const { status, json } = await post('/v1/queue/hold', JSON.stringify({ sender: 'x'.repeat(3_000_000) }));
    assert.equal(status, 413);
    assert.match(String(json['error']), /larger than 1048576 bytes/);
  });

  const failures: [SpoolError, number][] = [
    [new SpoolError('closed', 'the store is shutting down'), 503],
    [new SpoolError('io', 'fsync: EIO'), 500],
    [new SpoolError('disk-full', 'no room'), 507],
  ];
  for (const [failure, expected] of failures) {
    test(`the store's ${failure.kind} becomes ${expected}`, async () => {
      queue.failure = failure;
      const { status, json } = await post('/v1/queue/hold', { all: true });
      assert.equal(status, expected);
      assert.equal(json['error'], failure.message);
    });
  }

  test('an exception that nobody foresaw becomes 500 and a reference; what it was goes to the log alone', async () => {
    queue.failure = new Error('surprise');
    const { status, json } = await post('/v1/queue/hold?sender=secret@x', { all: true });
    assert.equal(status, 500);
    const [trouble] = troubles;
    assert.match(trouble!.message, /^POST \/v1\/queue\/hold: Error: surprise\n +at /);
    assert.match(trouble!.reference, /^[0-9a-f]{8}$/);
    assert.deepEqual(json, {
      error: `the operation failed for a reason that nobody foresaw: see ${trouble!.reference} in the log`,
      reference: trouble!.reference,
    });
    assert.equal((await get('/v1/queue')).status, 200);
    assert.equal(troubles.length, 1);
  });

  test('the same exception has the same reference each time, another one has another', async () => {
    const references: unknown[] = [];
    const surprise = new Error('surprise');
    for (const failure of [surprise, surprise, new Error('another')]) {
      queue.failure = failure;
      references.push((await post('/v1/queue/hold', { all: true })).json['reference']);
    }
    assert.equal(references[0], references[1]);
    assert.notEqual(references[1], references[2]);
    assert.deepEqual(
      troubles.map(({ reference }) => reference),
      references,
    );
  });

  test('a client that goes away in the middle of its request is no failure', async () => {
    await new Promise<void>(resolve => {
      const socket = connect(endpoint.port, '127.0.0.1', () => {
        const head = `POST /v1/queue/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: ${framesType}\r\nContent-Length: 1000\r\n\r\n`;
        socket.write(`${head}{"size": 900`, () => socket.destroy());
      });
      socket.on('close', () => resolve());
    });
    assert.equal((await get('/v1/queue')).status, 200);
    assert.deepEqual(troubles, []);
  });
});

describe('export and import', () => {
  test('carry messages over byte for byte, recipients with their state', async () => {
    const big = `A: b\r\n\r\n${'0123456789\r\n'.repeat(30_000)}`;
    queue.add(
      {
        recipients: [
          { address: 'a@x', state: 'delivered' },
          { address: 'b@x', state: 'pending' },
        ],
      },
      big,
    );
    for (let i = 0; i < 130; i++) queue.add({}, `N: ${i}\r\n\r\n`);
    const response = await fetch(url('/v1/queue/export'));
    const stream = Buffer.from(await response.arrayBuffer());
    const before = queue;
    queue = new FakeQueue();
    const { status, json } = await post('/v1/queue/import', stream, framesType);
    assert.equal(status, 200);
    assert.equal(json['count'], 131);
    const bodies = (of: FakeQueue) => [...of.kept.values()].map(({ body }) => body.toString());
    assert.deepEqual(bodies(queue), bodies(before));
    assert.deepEqual(
      [...queue.kept.values()][0]!.message.recipients,
      [...before.kept.values()][0]!.message.recipients,
    );
    assert.deepEqual(queue.changed, [{ operation: 'import', count: 131 }]);
  });

  const one = (header: Json, body = 'A: b\r\n\r\n') =>
    `${JSON.stringify({ sender: 's@x', recipients: ['r@x'], size: Buffer.byteLength(body), ...header })}\n${body}\n`;

  test('an import gets CRLF line ends, whatever it came with', async () => {
    await post('/v1/queue/import', one({}, 'A: b\nC: d\r\n\rtext'), framesType);
    const [kept] = queue.kept.values();
    assert.equal(kept!.body.toString(), 'A: b\r\nC: d\r\n\r\ntext\r\n');
    assert.equal(kept!.message.size, kept!.body.length);
  });

  test('an import is young unless it says when it was accepted', async () => {
    await post('/v1/queue/import', one({}) + one({ receivedAt: '2026-01-01T00:00:00Z' }), framesType);
    const times = [...queue.kept.values()].map(({ message }) => message.receivedAt);
    assert.deepEqual(times, [baseTime, Date.parse('2026-01-01T00:00:00Z')]);
  });

  test('an address beyond ASCII makes the message SMTPUTF8', async () => {
    await post('/v1/queue/import', one({ recipients: ['jörg@x'] }), framesType);
    assert.equal([...queue.kept.values()][0]!.message.smtpUtf8, true);
  });

  const wrong: [string, string, RegExp][] = [
    ['a sender with a line end', one({ sender: 'a@x>\r\nRCPT TO:<z@z' }), /sender must be an address/],
    ['no recipients', one({ recipients: [] }), /recipients must be a list of 1 to/],
    ['a recipient with a space', one({ recipients: ['a b@x'] }), /recipients\[0\] must be an address/],
    [
      'an unknown state',
      one({ recipients: [{ address: 'a@x', state: 'lost' }] }),
      /recipients\[0\]\.state must be/,
    ],
    ['nobody pending', one({ recipients: [{ address: 'a@x', state: 'rejected' }] }), /none is pending/],
    ['a wrong time', one({ receivedAt: 'yesterday' }), /receivedAt must be a time/],
    ['a wrong flag', one({ eightBit: 'yes' }), /eightBit must be true or false/],
    ['no size', '{"sender":"a@x","recipients":["b@x"]}\n', /size must be the number of bytes/],
    ['no JSON', 'From: a\r\n\r\n', /must begin with a line that is a JSON object/],
    ['a body cut short', one({ size: 100 }), /the stream ended \d+ bytes before/],
  ];
  for (const [what, stream, message] of wrong) {
    test(`an import with ${what} is refused, and says which message and what came before it`, async () => {
      const { status, json } = await post('/v1/queue/import', one({}) + stream, framesType);
      assert.equal(status, 400);
      assert.match(String(json['error']), /^message 2 of the import: /);
      assert.match(String(json['error']), message);
      assert.deepEqual(json['ids'], ['00000000000000001']);
    });
  }

  test('an import that the disk refuses says so', async () => {
    queue.failure = new SpoolError('disk-full', 'the reserve is reached');
    const { status, json } = await post('/v1/queue/import', one({}), framesType);
    assert.equal(status, 507);
    assert.match(String(json['error']), /the reserve is reached/);
  });

  test('an import that fails for a reason that nobody foresaw says what came before it, and no more', async () => {
    const adopt = queue.adopt.bind(queue);
    queue.adopt = (...message) => {
      if (queue.kept.size > 0) queue.failure = new Error('surprise');
      return adopt(...message);
    };
    const { status, json } = await post('/v1/queue/import', one({}) + one({}), framesType);
    assert.equal(status, 500);
    assert.deepEqual(json['ids'], ['00000000000000001']);
    assert.doesNotMatch(JSON.stringify(json), /surprise/);
    assert.match(troubles[0]!.message, /surprise/);
    assert.equal(json['reference'], troubles[0]!.reference);
  });

  test('an export carries bodies as they are, edited ones too', async () => {
    const bodies = ['short\r\n', `long\r\n${'x'.repeat(2_000_000)}\r\n`, ''];
    for (const body of bodies) {
      const { id } = queue.add();
      queue.kept.get(id)!.body = Buffer.from(body);
    }
    const response = await fetch(url('/v1/queue/export'));
    const seen: [unknown, string][] = [];
    for await (const { header, body } of readFrames(response.body as AsyncIterable<Buffer>)) {
      seen.push([header['size'], Buffer.concat(await Array.fromAsync(body)).toString()]);
    }
    assert.deepEqual(
      seen,
      bodies.map(body => [body.length, body]),
    );
  });

  test('an export leaves out what went since it was listed, and what has no body', async () => {
    queue.add();
    const gone = queue.add();
    queue.add();
    const read = queue.read.bind(queue);
    queue.read = id => read(id === gone.id ? ('0'.repeat(17) as typeof id) : id);
    const response = await fetch(url('/v1/queue/export'));
    const ids: unknown[] = [];
    for await (const { header, body } of readFrames(response.body as AsyncIterable<Buffer>)) {
      ids.push(header['id']);
      await Array.fromAsync(body);
    }
    assert.deepEqual(ids, ['00000000000000001', '00000000000000003']);
  });

  test('an export that breaks half-way does not look whole', async () => {
    queue.add();
    const bad = queue.add();
    const read = queue.read.bind(queue);
    queue.read = id => {
      if (id === bad.id) queue.failure = new SpoolError('io', 'read: EIO');
      return read(id);
    };
    await assert.rejects(async () => {
      const response = await fetch(url('/v1/queue/export'));
      await response.arrayBuffer();
    });
  });

  test('a stream is taken apart the same wherever its chunks end', async () => {
    const stream = Buffer.from(one({}, 'A: b\r\n\r\n\n{}\n') + one({}, ''));
    for (const step of [1, 2, 7, 1000]) {
      const chunks = (async function* () {
        for (let at = 0; at < stream.length; at += step) yield stream.subarray(at, at + step);
      })();
      const bodies: string[] = [];
      for await (const { body } of readFrames(chunks))
        bodies.push(Buffer.concat(await Array.fromAsync(body)).toString());
      assert.deepEqual(bodies, ['A: b\r\n\r\n\n{}\n', '']);
    }
  });
});

describe('the program', () => {
  test('reloads its configuration and says what is wrong with it', async () => {
    reloadResult = { ok: true, fingerprint: 'abc', warnings: [] };
    assert.deepEqual(await post('/v1/reload', {}), { status: 200, json: { ...reloadResult } });
    reloadResult = { ok: false, errors: ['smtpPort: must be 1 to 65535'] };
    const { status, json } = await post('/v1/reload', {});
    assert.equal(status, 422);
    assert.equal(json['error'], 'smtpPort: must be 1 to 65535');
  });

  test('verifies its providers', async () => {
    const { json } = await post('/v1/verify', {});
    assert.equal((json['providers'] as { ok: boolean }[])[0]!.ok, true);
  });
});

describe('HTTP itself', () => {
  test('unknown paths are 404, wrong methods 405 with what is allowed', async () => {
    assert.equal((await get('/v2/queue')).status, 404);
    const response = await fetch(url('/v1/queue'), { method: 'DELETE' });
    assert.equal(response.status, 405);
    assert.equal(response.headers.get('allow'), 'GET, HEAD');
  });

  test('HEAD gets headers alone', async () => {
    const response = await fetch(url('/v1/queue'), { method: 'HEAD' });
    assert.equal(response.status, 200);
    assert.equal(await response.text(), '');
  });

  for (const line of [
    'GET http://evil/v1/queue HTTP/1.1',
    'GET //evil/v1/queue HTTP/1.1',
    'nonsense',
    'GET / HTTP/9',
  ]) {
    test(`${JSON.stringify(line)} is refused`, async () => {
      const answer = await speak(`${line}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 (400|505) /);
    });
  }

  test('headers without end are refused', async () => {
    const answer = await speak(`GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`);
    assert.match(answer, /^HTTP\/1\.1 4\d\d /);
  });
});

function speak(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect(endpoint.port, '127.0.0.1', () => socket.write(text));
    socket.on('data', data => {
      answer += data.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}
