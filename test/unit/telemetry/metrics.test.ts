import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import type { ProviderState } from '../../../relay/telemetry/events.ts';
import { createMetrics, type MetricsReaders } from '../../../relay/telemetry/metrics.ts';
import { accepted, attempt, delivered, everyEvent } from './events.ts';

const now = 1_800_000_000_000;

function setUp(change: Partial<MetricsReaders> = {}) {
  const providers: { name: string; state: ProviderState; connections: number }[] = [
    { name: 'primary', state: 'failing', connections: 0 },
    { name: 'backup', state: 'active', connections: 3 },
  ];
  const readers: MetricsReaders = {
    counts: () => ({
      active: { messages: 1, bytes: 10 },
      failed: { messages: 2, bytes: 20, oldestReceivedAt: now - 90_000 },
      held: { messages: 0, bytes: 0 },
      dead: { messages: 4, bytes: 40, oldestReceivedAt: now + 5000 },
    }),
    disk: () => ({ freeBytes: 1000, reserveBytes: 100 }),
    providers: () => providers,
    listenerConnections: () => 5,
    fingerprint: () => 'abcdef0123456789',
    forwarding: () => true,
    configRefused: () => false,
    certificateEndsAt: () => now + 1000,
    spoolFailure: () => undefined,
    version: '1.2.3',
    now: () => now,
    ...change,
  };
  return { providers, metrics: createMetrics(readers) };
}

/** Series → value. */
function parse(text: string): Map<string, number> {
  const lines = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map(line => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

describe('metrics', () => {
  test('has every name the specification promises', async () => {
    const { metrics } = setUp();
    for (const event of everyEvent) metrics.emit(event);
    const text = await metrics.render();
    const promised = [
      'provider_attempts_total',
      'provider_attempt_duration_seconds_bucket',
      'provider_messages_delivered_total',
      'provider_up',
      'provider_state',
      'provider_connections',
      'provider_probes_total',
      'failovers_total',
      'queue_messages',
      'queue_bytes',
      'queue_oldest_age_seconds',
      'accepted_total',
      'rejected_total',
      'delivery_delay_seconds_bucket',
      'ambiguous_total',
      'expired_total',
      'accept_duration_seconds_bucket',
      'disk_free_bytes',
      'config_reloads_total',
      'listener_certificate_expiry_timestamp_seconds',
      'config_refused',
      'config_info',
    ];
    for (const name of promised) assert.match(text, new RegExp(`^mailrelay_${name}[{ ]`, 'm'), name);
    assert.match(text, /^process_resident_memory_bytes /m);
    assert.match(text, /^nodejs_eventloop_lag_p99_seconds /m);
  });

  test('counts attempts by provider, outcome, stage and class, and times them', async () => {
    const { metrics } = setUp();
    metrics.emit(attempt);
    metrics.emit(attempt);
    metrics.emit({
      ...attempt,
      provider: 'backup',
      outcome: 'delivered',
      stage: 'dot',
      class: 'none',
      durationMs: 40,
    });
    const series = parse(await metrics.render());
    const labels = 'provider="primary",outcome="failed",stage="connect",class="network"';
    assert.equal(series.get(`mailrelay_provider_attempts_total{${labels}}`), 2);
    assert.equal(series.get('mailrelay_provider_messages_delivered_total{provider="backup"}'), 1);
    const duration = 'mailrelay_provider_attempt_duration_seconds';
    assert.equal(series.get(`${duration}_sum{provider="backup",outcome="delivered"}`), 0.04);
    assert.equal(series.get(`${duration}_bucket{le="0.025",provider="backup",outcome="delivered"}`), 0);
    assert.equal(series.get(`${duration}_bucket{le="0.05",provider="backup",outcome="delivered"}`), 1);
  });

  test('does not count a connection that came about as a delivered message', async () => {
    const { metrics } = setUp();
    const { id: _, ...connection } = attempt;
    metrics.emit({ ...connection, outcome: 'delivered', stage: 'auth', class: 'none' });
    const series = parse(await metrics.render());
    assert.equal(series.get('mailrelay_provider_messages_delivered_total{provider="primary"}'), 0);
  });

  test('keeps counting after a scrape', async () => {
    const { metrics } = setUp();
    const event = { event: 'message-refused', reason: 'loop', client: 'c', reply: '554' } as const;
    metrics.emit(event);
    await metrics.render();
    metrics.emit(event);
    const series = parse(await metrics.render());
    assert.equal(series.get('mailrelay_rejected_total{reason="loop"}'), 2);
    assert.equal(series.get('mailrelay_rejected_total{reason="syntax"}'), 0);
  });

  test('reads queue, disk, providers and configuration at the time of the scrape', async () => {
    const { metrics, providers } = setUp();
    const first = parse(await metrics.render());
    assert.equal(first.get('mailrelay_queue_messages{state="failed"}'), 2);
    assert.equal(first.get('mailrelay_queue_oldest_age_seconds{state="failed"}'), 90);
    assert.equal(first.get('mailrelay_queue_oldest_age_seconds{state="held"}'), 0);
    assert.equal(
      first.get('mailrelay_queue_oldest_age_seconds{state="dead"}'),
      0,
      'a clock that stepped back',
    );
    assert.equal(first.get('mailrelay_provider_up{provider="primary"}'), 0);
    assert.equal(first.get('mailrelay_provider_state{provider="primary",state="failing"}'), 1);
    assert.equal(first.get('mailrelay_provider_connections{provider="backup"}'), 3);
    assert.equal(first.get('mailrelay_config_info{fingerprint="abcdef0123456789"}'), 1);
    assert.equal(first.get('mailrelay_config_refused'), 0);
    assert.equal(first.get('mailrelay_listener_certificate_expiry_timestamp_seconds'), now / 1000 + 1);
    assert.equal(first.get('mailrelay_disk_free_bytes'), 1000);
    providers[0]!.state = 'standby';
    const second = parse(await metrics.render());
    assert.equal(second.get('mailrelay_provider_up{provider="primary"}'), 1);
    assert.equal(second.get('mailrelay_provider_state{provider="primary",state="failing"}'), 0);
  });

  test('forgets the series of a provider that left the configuration', async () => {
    const { metrics, providers } = setUp();
    for (const event of everyEvent) metrics.emit(event);
    assert.match(await metrics.render(), /provider="primary"/);
    providers.shift();
    const text = await metrics.render();
    assert.doesNotMatch(text, /"primary"/);
    assert.match(text, /provider="backup"/);
    providers.push({ name: 'primary', state: 'active', connections: 0 });
    const labels = 'provider="primary",outcome="failed",stage="connect",class="network"';
    assert.equal(parse(await metrics.render()).get(`mailrelay_provider_attempts_total{${labels}}`), 0);
  });

  test('bounds labels that come as free text', async () => {
    const { metrics } = setUp();
    for (let i = 0; i < 100; i++) metrics.emit({ ...attempt, stage: `stage ${i}` });
    const series = parse(await metrics.render());
    const other = 'provider="primary",outcome="failed",stage="other",class="network"';
    assert.equal(series.get(`mailrelay_provider_attempts_total{${other}}`), 100);
  });

  test('says when there is no configuration, when one is refused, and when the store has failed', async () => {
    const { metrics } = setUp({
      fingerprint: () => undefined,
      configRefused: () => true,
      spoolFailure: () => 'EIO',
      forwarding: () => false,
    });
    const text = await metrics.render();
    assert.doesNotMatch(text, /^mailrelay_config_info\{/m);
    assert.match(text, /^mailrelay_config_refused 1$/m);
    assert.match(text, /^mailrelay_spool_failed 1$/m);
    assert.match(text, /^mailrelay_forwarding 0$/m);
  });

  test('says nothing of a certificate where none is configured, and 0 of one that cannot be used', async () => {
    let endsAt: number | undefined = now;
    const { metrics } = setUp({ certificateEndsAt: () => endsAt });
    const told = async () =>
      parse(await metrics.render()).get('mailrelay_listener_certificate_expiry_timestamp_seconds');
    assert.equal(await told(), now / 1000);
    endsAt = undefined;
    assert.equal(await told(), undefined);
    endsAt = 0;
    assert.equal(await told(), 0);
  });

  test('costs at most 3 µs an event', () => {
    const { metrics } = setUp();
    const done = { ...attempt, outcome: 'delivered', stage: 'dot', class: 'none' } as const;
    const rounds = 20_000;
    const measure = () => {
      const start = process.cpuUsage();
      for (let i = 0; i < rounds; i++) {
        metrics.emit(accepted);
        metrics.emit(done);
        metrics.emit(delivered);
      }
      const { user, system } = process.cpuUsage(start);
      return (user + system) / (rounds * 3);
    };
    measure();
    const best = Math.min(measure(), measure(), measure());
    assert.ok(best <= 3, `${best.toFixed(2)} µs`);
  });

  test('is clean for promtool', t => {
    return check(t);
  });
});

async function check(t: { skip(why: string): void }): Promise<void> {
  const { metrics } = setUp();
  for (const event of everyEvent) metrics.emit(event);
  const { error, status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: await metrics.render(),
    encoding: 'utf8',
  });
  if (error !== undefined) return t.skip('promtool (Debian package prometheus) is not installed');
  assert.equal(status, 0, `${stdout}${stderr}`);
  assert.equal(`${stdout}${stderr}`.trim(), '');
}
