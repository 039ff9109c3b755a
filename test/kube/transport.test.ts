import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ApiError, ConnectionError } from '../../operator/kube/api-error.ts';
import { guardWrites } from '../../operator/kube/guard-writes.ts';
import type { Connection, TlsSettings, TokenSource } from '../../operator/kube/identity.ts';
import {
  type ApiRequest,
  createTransport,
  type RequestReport,
  type Transport,
} from '../../operator/kube/transport.ts';
import { type Fault, FaultyServer } from './faulty-server.ts';
import { waitUntil } from './wait-until.ts';

const get: ApiRequest = {
  method: 'GET',
  path: '/api/v1/namespaces/default/configmaps/x',
  verb: 'get',
  resource: 'configmaps',
};
const post: ApiRequest = { ...get, method: 'POST', body: {}, verb: 'create' };

describe('the transport on a faulty server', () => {
  let server: FaultyServer;
  let reports: RequestReport[];
  const transports: Transport[] = [];

  beforeEach(async () => {
    server = await FaultyServer.start();
    reports = [];
  });
  afterEach(async () => {
    await Promise.all(transports.splice(0).map(transport => transport.close()));
    await server.stop();
  });
  function connect(connection: Connection = server.connection): Transport {
    const transport = createTransport({
      connection,
      userAgent: 'test/1',
      onRequest: report => reports.push(report),
    });
    transports.push(transport);
    return transport;
  }
  const codes = () => reports.map(({ code }) => code);

  const repeated: [string, ApiRequest, Fault, string][] = [
    ['a read after a reset', get, { kind: 'reset' }, '<reset>'],
    ['a read after 429', get, { kind: 'status', code: 429 }, '429'],
    ['a write after 429, because nothing was done', post, { kind: 'status', code: 429 }, '429'],
    ['a read after 503 with Retry-After', get, { kind: 'status', code: 503, retryAfter: 0 }, '503'],
    ['a replacing write after a reset', { ...post, method: 'PUT' }, { kind: 'reset' }, '<reset>'],
  ];
  for (const [what, request, fault, code] of repeated) {
    test(`repeats ${what}`, async () => {
      server.script('other', fault);
      await connect().request(request);
      assert.deepEqual(codes(), [code, '200']);
    });
  }

  const notRepeated: [string, ApiRequest, Fault, string][] = [
    ['a creating write after a reset: it may have been done', post, { kind: 'reset' }, '<reset>'],
    ['a read after 500 without Retry-After', get, { kind: 'status', code: 500 }, '500'],
    ['a creating write after 503', post, { kind: 'status', code: 503, retryAfter: 0 }, '503'],
    ['a read that was refused', get, { kind: 'status', code: 403, reason: 'Forbidden' }, '403'],
    ['a read answered by a login page', get, { kind: 'html' }, '<protocol>'],
    ['a read whose caller has its own backoff', { ...get, retries: 0 }, { kind: 'reset' }, '<reset>'],
  ];
  for (const [what, request, fault, code] of notRepeated) {
    test(`does not repeat ${what}`, async () => {
      server.script('other', fault);
      await assert.rejects(connect().request(request));
      assert.deepEqual(codes(), [code]);
    });
  }

  test('repeats no write of one that leads no more', async () => {
    server.script('other', { kind: 'status', code: 429, retryAfter: 1 });
    const isLeading = (): boolean => server.count('other') === 0;
    const guarded = guardWrites(connect(), isLeading);
    await assert.rejects(guarded.request({ ...post, method: 'PATCH' }), { name: 'NotLeaderError' });
    assert.equal(server.count('other'), 1);
    await assert.rejects(guarded.request(post), { name: 'NotLeaderError' });
    assert.equal(server.count('other'), 1);
    await guarded.request(get);
  });

  test('gives a write up before another may lead', async () => {
    const asked: ApiRequest[] = [];
    const request = (given: ApiRequest): Promise<never> => Promise.resolve(asked.push(given) as never);
    const guarded = guardWrites({ ...connect(), request }, () => true);
    for (const given of [post, { ...post, timeoutMs: 60_000 }, { ...post, timeoutMs: 1000 }, get]) {
      await guarded.request(given);
    }
    assert.deepEqual(
      asked.map(({ timeoutMs }) => timeoutMs),
      [4500, 4500, 1000, undefined],
    );
  });

  test('gives up after three repeats', async () => {
    server.script('other', ...Array.from({ length: 9 }, (): Fault => ({ kind: 'status', code: 429 })));
    await assert.rejects(connect().request(get), { name: 'ApiError', code: 429 });
    assert.equal(server.count('other'), 4);
  });

  test('waits as long as Retry-After says, or fails at once when the call has not that much time', async () => {
    server.script('other', { kind: 'status', code: 429, retryAfter: 1 });
    const transport = connect();
    const start = performance.now();
    await transport.request(get);
    assert.ok(performance.now() - start >= 995);
    server.script('other', { kind: 'status', code: 429, retryAfter: 60 });
    await assert.rejects(transport.request(get), (error: unknown) => {
      assert.ok(error instanceof ApiError);
      assert.equal(error.retryAfterSeconds, 60);
      return true;
    });
    assert.equal(server.count('other'), 3);
  });

  test('says what a page that is no answer looked like', async () => {
    server.script('other', { kind: 'html' });
    await assert.rejects(connect().request(get), /200 with text\/html instead of JSON: "<html>Log in here/);
  });

  test('ends a call without answer at its deadline, and when its caller ends it', async () => {
    server.script('other', { kind: 'mute' }, { kind: 'mute' });
    const transport = connect();
    await assert.rejects(transport.request({ ...get, timeoutMs: 50 }), {
      name: 'ConnectionError',
      kind: 'timeout',
    });
    const reason = new Error('shutting down');
    const caller = new AbortController();
    const call = transport.request({ ...get, signal: caller.signal });
    setImmediate(() => caller.abort(reason));
    await assert.rejects(call, reason);
    await assert.rejects(transport.request({ ...get, signal: caller.signal }), reason);
  });

  test('counts waiting for a connection in a call’s time', async () => {
    const transport = createTransport({
      connection: server.connection,
      userAgent: 'test/1',
      maxConnections: 1,
    });
    transports.push(transport);
    server.script('other', { kind: 'slow', ms: 300 });
    const slow = transport.request(get);
    await assert.rejects(transport.request({ ...get, timeoutMs: 50 }), { kind: 'timeout' });
    await slow;
  });

  test('ends a call that waits for a connection at its deadline, and it costs no connection then', async () => {
    const transport = createTransport({
      connection: server.connection,
      userAgent: 'test/1',
      maxConnections: 1,
      onRequest: report => reports.push(report),
    });
    transports.push(transport);
    server.script('other', { kind: 'mute' });
    let over = false;
    const caller = new AbortController();
    const hung = transport.request({ ...get, signal: caller.signal }).catch(() => {
      over = true;
    });
    await waitUntil('the connection hangs', () => server.hanging === 1);
    const waiting = Array.from({ length: 20 }, () => transport.request({ ...get, timeoutMs: 50 }));
    for (const call of waiting) await assert.rejects(call, { name: 'ConnectionError', kind: 'timeout' });
    assert.equal(over, false, 'none of them waited for the one that hangs');
    assert.deepEqual([...new Set(codes())], ['<timeout>']);
    caller.abort();
    await hung;
    await transport.request(get);
    assert.equal(server.accepted, 2, 'the one that hung, and another one in its place');
  });

  test('ends a call at its deadline while the server does not even shake hands', async () => {
    const sockets: Socket[] = [];
    const listener = createServer(socket => sockets.push(socket.on('error', () => {}).resume()));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const transport = connect({ ...server.connection, server: `https://127.0.0.1:${port}` });
    try {
      await assert.rejects(transport.request({ ...get, timeoutMs: 50 }), { kind: 'timeout' });
      await assert.rejects(transport.stream({ ...get, timeoutMs: 50 }), { kind: 'timeout' });
      assert.deepEqual(
        sockets.map(({ destroyed }) => destroyed),
        [false, false],
      );
    } finally {
      for (const socket of sockets) socket.destroy();
      listener.close();
    }
  });

  test('reads a refused token again and repeats the call, also a creating one', async () => {
    let now = 'expired';
    let next = 'expired';
    const token: TokenSource = {
      read: async () => now,
      refused: () => {
        now = next;
      },
    };
    server.token = 'renewed';
    const transport = connect({ ...server.connection, token });
    await assert.rejects(transport.request(get), { name: 'ApiError', code: 401 });
    assert.equal(server.count('other'), 1, 'the same token is not tried twice');
    next = 'renewed';
    await transport.request(post);
    assert.deepEqual(
      server.requests.map(request => request.token),
      ['expired', 'expired', 'renewed'],
    );
  });

  test('repeats every call that was under way with a token when that expired', async () => {
    let now = 'expired';
    const token: TokenSource = {
      read: async () => now,
      refused: () => {
        now = 'renewed';
      },
    };
    server.token = 'renewed';
    const transport = connect({ ...server.connection, token });
    await Promise.all(Array.from({ length: 5 }, () => transport.request(post)));
    assert.deepEqual(codes().sort(), ['200', '200', '200', '200', '200', '401', '401', '401', '401', '401']);
  });

  test('trusts a rotated authority after looking at its files again', async () => {
    const { reloadTls: _none, ...base } = server.connection;
    const connection: Connection = { ...base, tls: {}, reloadTls: async () => base.tls };
    await connect(connection).request(get);
    assert.deepEqual(codes(), ['<tls>', '200']);
  });

  test('looks at its client certificate again when that is refused, and repeats every call that was under way', async () => {
    const { ca } = server.connection.tls as { ca: string };
    let files: TlsSettings = { ca, ...(await server.clientCertificate('expired')) };
    server.client = 'renewed';
    const transport = connect({ ...server.connection, tls: files, reloadTls: async () => files });
    await assert.rejects(transport.request(get), { name: 'ApiError', code: 401 });
    assert.equal(server.count('other'), 1, 'the same certificate is not tried twice');
    files = { ca, ...(await server.clientCertificate('renewed')) };
    await Promise.all(Array.from({ length: 5 }, () => transport.request(post)));
    assert.deepEqual(codes().sort(), [...Array(5).fill('200'), ...Array(6).fill('401')]);
  });

  test('gets over a certificate that was read before its key was written', async () => {
    const { ca } = server.connection.tls as { ca: string };
    const [before, renewed] = [
      await server.clientCertificate('a'),
      await server.clientCertificate('renewed'),
    ];
    server.client = 'renewed';
    const between = { ca, cert: renewed.cert, key: before.key };
    const read: TlsSettings[] = [between, { ca, ...renewed }];
    const transport = connect({
      ...server.connection,
      tls: { ca, ...before },
      reloadTls: async () => read.shift() ?? between,
    });
    await assert.rejects(transport.request({ ...get, retries: 0 }), { kind: 'tls' });
    await transport.request(get);
    assert.deepEqual(codes(), ['401', '<tls>', '<tls>', '200']);
  });

  test('does not talk to a server that it cannot verify, unless told to', async () => {
    await assert.rejects(connect({ ...server.connection, tls: {} }).request({ ...get, retries: 0 }), {
      kind: 'tls',
    });
    assert.equal(server.requests.length, 0);
    await connect({ ...server.connection, tls: { insecureSkipVerify: true } }).request(get);
    assert.equal(server.requests.length, 1);
  });

  test('verifies the name that it was told to', async () => {
    const { tls } = server.connection;
    const named = { ...server.connection, tls: { ...tls, serverName: 'kubernetes.default' } };
    await assert.rejects(connect(named).request({ ...get, retries: 0 }), /kubernetes.default/);
  });

  test('says that nobody listens', async () => {
    const { server: url } = server.connection;
    await server.stop();
    await assert.rejects(connect().request(get), (error: unknown) => {
      assert.ok(error instanceof ConnectionError, url);
      assert.equal(error.kind, 'refused');
      return true;
    });
    assert.deepEqual(codes(), ['<refused>', '<refused>', '<refused>', '<refused>']);
    server = await FaultyServer.start();
  });

  test('has no more connections than it may, however much is asked at once', async () => {
    const transport = createTransport({
      connection: server.connection,
      userAgent: 'test/1',
      maxConnections: 4,
    });
    transports.push(transport);
    await Promise.all(Array.from({ length: 200 }, () => transport.request(get)));
    assert.equal(server.requests.length, 200);
    assert.ok((await server.connections()) <= 4);
  });

  test('keeps one connection over many faults and calls one after another', async () => {
    const transport = connect();
    for (let times = 0; times < 30; times++) {
      if (times % 3 === 0) server.script('other', { kind: 'reset' });
      await transport.request(get);
    }
    assert.ok((await server.connections()) <= 2);
  });
});
