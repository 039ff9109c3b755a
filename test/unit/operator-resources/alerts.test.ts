import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { stringify } from 'yaml';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import { alerts } from '../../../operator/resources/alerts.ts';
import { prometheusRule } from '../../../operator/resources/prometheus-rule.ts';
import { podService } from '../../../operator/resources/service.ts';
import { serviceMonitor } from '../../../operator/resources/service-monitor.ts';
import { relayMetrics } from '../../chart/exposed.ts';
import { everythingSpec, minimalSpec, relayOf } from '../operator-api/relays.ts';
import { contextOf } from './contexts.ts';

const promtool = spawnSync('promtool', ['--version']).status === 0;
const directory = mkdtempSync(join(tmpdir(), 'mailrelay-alerts-'));
after(() => rmSync(directory, { recursive: true }));

const relay = relayOf(minimalSpec);
const rule = prometheusRule(relay, contextOf(relay))!;

/** Runs promtool and returns what it said; fails the test when it is not content. */
function check(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8', cwd: directory });
  assert.equal(status, 0, stdout + stderr);
  return stdout;
}

describe('alerts', () => {
  test('use metrics and labels that the relay has', () => {
    const { registry } = relayMetrics({});
    const known = new Set(registry.getMetricsAsArray().map(({ name }) => name));
    for (const { name, expression } of alerts(relay)) {
      const used = [...expression.matchAll(/(\w+)\{/g)].map(([, metric = '']) => metric);
      assert.ok(used.length > 0, name);
      for (const metric of used) assert.ok(known.has(metric) || metric === 'up', `${name}: ${metric}`);
    }
  });

  test('say how bad, what, why and what to do', () => {
    const rules = rule.spec.groups[0]!.rules;
    assert.ok(rules.length >= 12);
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
    for (const { alert, labels, annotations } of rules) {
      assert.match(alert, /^MailRelay[A-Z][A-Za-z]+$/);
      assert.match(labels['severity'] ?? '', /^(critical|warning|info)$/);
      assert.match(annotations['summary'] ?? '', /\.$/);
      assert.match(annotations['description'] ?? '', /.{40,}\.$/);
      assert.equal(annotations['runbook_url'], `https://example.com/docs/runbooks/${alert}.md`);
    }
  });

  test('follow the spec', () => {
    const find = (spec: MailRelaySpecInput, name: string) =>
      alerts(relayOf(spec)).find(alert => alert.name === name);
    const expiring = { ...minimalSpec, resend: { expireAfterSeconds: 1000, maxDelaySeconds: 100 } };
    assert.match(find(expiring, 'MailRelayMailAboutToExpire')?.expression ?? '', /> 800$/);
    assert.match(find(expiring, 'MailRelayFailedMailOld')?.expression ?? '', /> 500$/);
    assert.match(find(minimalSpec, 'MailRelayFailedMailOld')?.expression ?? '', /> 14400$/);
    assert.equal(find({ ...minimalSpec, replicas: 0 }, 'MailRelayDown'), undefined);
  });

  test('tell nothing of pods that cannot be reached where no ServiceMonitor lets Prometheus read them', () => {
    const unread = relayOf({ ...minimalSpec, monitoring: { serviceMonitor: { enabled: false } } });
    const left = new Set(alerts(unread).map(({ name }) => name));
    const missing = alerts(relay).filter(({ name }) => !left.has(name));
    assert.deepEqual(
      missing.map(({ name }) => name),
      ['MailRelayDown', 'MailRelayPodUnreachable'],
    );
  });

  test('are for one relay: its namespace and its headless Service', () => {
    for (const { name, expression } of alerts(relay)) {
      const metrics = expression.match(/\w+\{/g) ?? [];
      const own = expression.match(/\{namespace="apps",service="mail-pods"/g) ?? [];
      assert.equal(own.length, metrics.length, name);
    }
    assert.equal(podService(relay).metadata.name, 'mail-pods');
  });

  test('are what Prometheus takes', { skip: !promtool && 'promtool is missing' }, () => {
    for (const spec of [minimalSpec, everythingSpec]) {
      const one = relayOf(spec);
      writeFileSync(join(directory, 'rules.yaml'), stringify(prometheusRule(one, contextOf(one))!.spec));
      assert.match(check('check', 'rules', 'rules.yaml'), /SUCCESS: \d+ rules found/);
    }
  });

  test('fire when they should and not before', { skip: !promtool && 'promtool is missing' }, () => {
    // promtool compares annotations as well; their words are tested above.
    const groups = rule.spec.groups.map(group => ({
      ...group,
      rules: group.rules.map(({ annotations: _, ...conditions }) => conditions),
    }));
    writeFileSync(join(directory, 'rules.yaml'), stringify({ groups }));
    const own = 'namespace="apps",service="mail-pods",pod="mail-0"';
    const series = (metric: string, more: string, values: string) => ({
      series: `mailrelay_${metric}{${own}${more}}`,
      values,
    });
    const firing = (at: string, alertname: string, labels?: object) => ({
      eval_time: at,
      alertname,
      exp_alerts:
        labels === undefined
          ? []
          : [{ exp_labels: { namespace: 'apps', mailrelay: 'mail', service: 'mail-pods', ...labels } }],
    });
    const tests = [
      {
        interval: '1m',
        input_series: [
          series('build_info', ',version="1"', '1x60'),
          series('forwarding', '', '1x60'),
          series('provider_up', ',provider="a"', '1x5 0x55'),
          series('provider_up', ',provider="b"', '1x20 0x40'),
          series('provider_state', ',provider="a",state="suspended"', '0x5 1x55'),
          series('disk_free_bytes', '', '1000x10 150x20 50x30'),
          series('disk_reserve_bytes', '', '100x60'),
          series('queue_oldest_age_seconds', ',state="failed"', '0+1000x60'),
        ],
        alert_rule_test: [
          firing('29m', 'MailRelayProviderDown'),
          firing('32m', 'MailRelayProviderDown', { severity: 'warning', provider: 'b' }),
          firing('24m', 'MailRelayAllProvidersFailing'),
          firing('27m', 'MailRelayAllProvidersFailing', { severity: 'critical', pod: 'mail-0' }),
          firing('8m', 'MailRelayProviderAuthenticationRefused', { severity: 'warning', provider: 'a' }),
          firing('22m', 'MailRelayDiskLow', { severity: 'warning', pod: 'mail-0' }),
          firing('22m', 'MailRelayDiskFull'),
          firing('34m', 'MailRelayDiskFull', { severity: 'critical', pod: 'mail-0' }),
          firing('14m', 'MailRelayFailedMailOld'),
          firing('30m', 'MailRelayFailedMailOld', { severity: 'warning' }),
          firing('10m', 'MailRelayDown'),
        ],
      },
      {
        interval: '1m',
        input_series: [
          { series: 'mailrelay_build_info{namespace="apps",service="other-pods"}', values: '1x20' },
          series('queue_messages', ',state="held"', '5x90'),
          series('forwarding', '', '0x90'),
        ],
        alert_rule_test: [
          firing('10m', 'MailRelayDown', { severity: 'critical' }),
          firing('70m', 'MailRelayMailHeld', { severity: 'info' }),
        ],
      },
    ];
    writeFileSync(
      join(directory, 'tests.yaml'),
      stringify(
        { rule_files: ['rules.yaml'], evaluation_interval: '1m', tests },
        { aliasDuplicateObjects: false },
      ),
    );
    check('test', 'rules', 'tests.yaml');
  });

  test('carry the labels that a Prometheus selects by, and never lose our own', () => {
    const one = relayOf(everythingSpec);
    for (const made of [prometheusRule(one, contextOf(one)), serviceMonitor(one)]) {
      assert.equal(made?.metadata.labels?.['release'], 'prometheus');
      assert.equal(made?.metadata.labels?.['app.kubernetes.io/instance'], 'mail');
    }
  });

  test('rest on a ServiceMonitor that finds the headless Service', () => {
    const { spec } = serviceMonitor(relay)!;
    const { labels } = podService(relay).metadata;
    for (const [key, value] of Object.entries(spec.selector.matchLabels)) assert.equal(labels?.[key], value);
  });
});
