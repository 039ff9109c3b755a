import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { serveHealth } from '../../../relay/admin/health-server.ts';
import type { HttpEndpoint, Trouble } from '../../../relay/admin/http.ts';
import type { RelayView } from '../../../relay/admin/view.ts';
import { createLog } from '../../../relay/telemetry/log.ts';
import { createMetrics } from '../../../relay/telemetry/metrics.ts';
import { windowMs } from '../../../relay/telemetry/repeats.ts';

const now = Date.parse('2026-01-31T12:00:00Z');

const running = {
  fingerprint: 'abcdef0123456789',
  credentialsFingerprint: 'fedcba9876543210',
  forwarding: true,
  draining: false,
  warnings: ['w'],
};

type Mutable = { -readonly [K in keyof RelayView]: RelayView[K] };

function healthy(): Mutable {
  return {
    version: '1.2.3',
    host: 'mail-0',
    startedAt: now - 60_000,
    phase: () => 'running',
    config: () => running,
    lastConfigError: () => undefined,
    providers: () => [
      {
        name: 'primary',
        host: 'smtp.primary.com',
        port: 587,
        priority: 0,
        state: 'failing',
        since: now - 5000,
        reason: 'connect-failed',
        message: 'connection refused',
        lastSuccessAt: undefined,
        connections: 0,
      },
    ],
    counts: () => ({
      active: { messages: 1, bytes: 10 },
      failed: { messages: 2, bytes: 20, oldestReceivedAt: now - 90_000 },
      held: { messages: 0, bytes: 0 },
      dead: { messages: 0, bytes: 0 },
    }),
    quarantined: () => 3,
    disk: () => ({ freeBytes: 1000, totalBytes: 2000, reserveBytes: 100, low: false }),
    spoolFailure: () => undefined,
    listener: () => ({ host: '127.0.0.1', port: 2525, connections: 4, accepts: true }),
  };
}

let view: Mutable;
let endpoint: HttpEndpoint;

before(async () => {
  const metrics = createMetrics({
    counts: () => view.counts(),
    disk: () => view.disk(),
    providers: () => [],
    listenerConnections: () => 4,
    fingerprint: () => 'f',
    forwarding: () => true,
    configRefused: () => false,
    certificateEndsAt: () => undefined,
    spoolFailure: () => undefined,
    version: '1.2.3',
  });
  const current = new Proxy({} as RelayView, { get: (_, name) => view[name as keyof RelayView] });
  endpoint = await serveHealth({ host: '127.0.0.1', port: 0, view: current, metrics, now: () => now });
});
beforeEach(() => {
  view = healthy();
});
after(() => endpoint.close());

const ask = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${endpoint.port}${path}`, init);

test('a defect that every request meets fills no log, and each answer names a line that is in it', async () => {
  const lines: string[] = [];
  const log = createLog({ level: 'info', stream: { write: line => lines.push(line) } });
  const broken = {
    ...healthy(),
    providers: () => {
      throw new Error('surprise');
    },
  };
  const metrics = { contentType: '', render: async () => '' };
  const trouble: Trouble = failure => log.emit({ event: 'operation-failed', ...failure });
  const server = await serveHealth({ host: '127.0.0.1', port: 0, view: broken, metrics, trouble });
  const startedAt = performance.now();
  const references = new Set<string>();
  for (let count = 0; count < 500; count++) {
    const response = await fetch(`http://127.0.0.1:${server.port}/status`);
    assert.equal(response.status, 500);
    references.add(((await response.json()) as { reference: string }).reference);
  }
  const most = 2 + Math.floor((performance.now() - startedAt) / windowMs);
  await server.close();
  await log.close();
  const told = lines.map(line => JSON.parse(line) as { reference: string; repeated?: number });
  assert.ok(told.length <= most, `${told.length} lines`);
  assert.equal(references.size, 1);
  for (const { reference } of told) assert.ok(references.has(reference));
  assert.equal(
    told.reduce((sum, { repeated = 1 }) => sum + repeated, 0),
    500,
  );
});

describe('/readyz', () => {
  test('is 200 when new mail is accepted', async () => {
    const response = await ask('/readyz');
    assert.equal(response.status, 200);
    assert.equal(await response.text(), 'ok\n');
  });

  const reasons: [string, Partial<Mutable>, RegExp][] = [
    ['starting', { phase: () => 'starting' }, /^starting: /],
    ['stopping', { phase: () => 'stopping' }, /^stopping: /],
    ['without a configuration', { config: () => undefined }, /^no configuration/],
    ['draining', { config: () => ({ ...running, draining: true }) }, /^draining: /],
    ['the store failed', { spoolFailure: () => 'fsync: EIO' }, /^the store failed: fsync: EIO/],
    [
      'the disk is low',
      { disk: () => ({ freeBytes: 10, totalBytes: 2000, reserveBytes: 100, low: true }) },
      /^disk is low: 10 bytes free, 100 are kept/,
    ],
  ];
  for (const [what, change, sentence] of reasons) {
    test(`is 503 with the reason while ${what}`, async () => {
      Object.assign(view, change);
      const response = await ask('/readyz');
      assert.equal(response.status, 503);
      assert.match(await response.text(), sentence);
    });
  }
});

describe('/livez', () => {
  test('stays 200 while stopping, without configuration and on a low disk: a restart would not help', async () => {
    view.phase = () => 'stopping';
    view.config = () => undefined;
    view.disk = () => ({ freeBytes: 0, totalBytes: 2000, reserveBytes: 100, low: true });
    assert.equal((await ask('/livez')).status, 200);
  });

  test('is 503 once the store has failed: only a new process may trust the disk again', async () => {
    view.spoolFailure = () => 'fsync: EIO';
    assert.equal((await ask('/livez')).status, 503);
  });
});

describe('/status', () => {
  test('says everything an operator needs, times in ISO 8601 and ages in seconds', async () => {
    const response = await ask('/status');
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.deepEqual(await response.json(), {
      version: '1.2.3',
      host: 'mail-0',
      ready: true,
      uptimeSeconds: 60,
      fingerprint: 'abcdef0123456789',
      credentialsFingerprint: 'fedcba9876543210',
      draining: false,
      forwarding: true,
      warnings: ['w'],
      providers: [
        {
          name: 'primary',
          host: 'smtp.primary.com',
          port: 587,
          priority: 0,
          state: 'failing',
          since: '2026-01-31T11:59:55.000Z',
          reason: 'connect-failed',
          message: 'connection refused',
          connections: 0,
        },
      ],
      queue: {
        active: { messages: 1, bytes: 10 },
        failed: { messages: 2, bytes: 20, oldestAgeSeconds: 90 },
        held: { messages: 0, bytes: 0 },
        dead: { messages: 0, bytes: 0 },
      },
      quarantine: { files: 3 },
      disk: { freeBytes: 1000, totalBytes: 2000, reserveBytes: 100, low: false },
      listener: { host: '127.0.0.1', port: 2525, connections: 4, accepts: true },
    });
  });

  test('says nothing of a quarantine that cannot be read', async () => {
    view.quarantined = () => undefined;
    assert.ok(!('quarantine' in ((await (await ask('/status')).json()) as object)));
  });

  test('keeps a refused configuration visible', async () => {
    view.lastConfigError = () => ({ at: now, errors: ['smtpPort: must be 1 to 65535'] });
    const status = (await (await ask('/status')).json()) as Record<string, unknown>;
    assert.deepEqual(status['lastConfigError'], {
      at: '2026-01-31T12:00:00.000Z',
      errors: ['smtpPort: must be 1 to 65535'],
    });
  });
});

describe('the rest', () => {
  test('/metrics is the Prometheus text format', async () => {
    const response = await ask('/metrics');
    assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
    assert.match(await response.text(), /^mailrelay_queue_messages\{state="failed"\} 2$/m);
  });

  test('nothing can be changed, and no queue operation is to be found', async () => {
    assert.equal((await ask('/status', { method: 'POST' })).status, 405);
    assert.equal((await ask('/v1/queue')).status, 404);
  });

  test('a name resolved to the pod may be used: it only tells', async () => {
    assert.equal((await ask('/status', { headers: { Origin: 'http://x' } })).status, 200);
  });

  test('a view that throws is an error, not the end', async () => {
    view.providers = () => {
      throw new Error('surprise');
    };
    assert.equal((await ask('/status')).status, 500);
    assert.equal((await ask('/livez')).status, 200);
  });
});
