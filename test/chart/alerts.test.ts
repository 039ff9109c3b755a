import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { parse } from 'yaml';
import { chartFiles } from '../../operator/generate-chart.ts';
import { prometheusRule } from '../../operator/resources/prometheus-rule.ts';
import { relayOf, threeProvidersSpec } from '../unit/operator-api/relays.ts';
import type { AlertCase } from './alert-series.ts';
import { chart, repository } from './helm.ts';
import { operationCases } from './operation-alert-cases.ts';
import { operatorCases } from './operator-alert-cases.ts';
import { checkConfiguration, checkRuleFiles, type RuleTest, testAnnotations, testRules } from './promtool.ts';
import { providerCases } from './provider-alert-cases.ts';
import { queueCases } from './queue-alert-cases.ts';
import { receptionCases } from './reception-alert-cases.ts';

const relayCases = [...receptionCases, ...providerCases, ...queueCases, ...operationCases];
const cases = [...relayCases, ...operatorCases];

type Rule = {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
};
type Group = { readonly name: string; readonly rules: readonly Rule[] };

const files = globSync(join(chart, 'alerts/*/*.yaml')).sort();
const groups: readonly Group[] = files.flatMap(file => parse(readFileSync(file, 'utf8')).groups);
const rules = groups.flatMap(group => group.rules);

/** What the operator makes for the one relay that the cases are about. */
const own = prometheusRule(relayOf(threeProvidersSpec), { runbooks: 'https://example.com' });
const ownGroups = own?.spec.groups ?? [];

const firing = (alert: string): string => `ALERTS{alertname="${alert}",alertstate="firing"}`;

function exactly({ alert, when, series, at, fires }: AlertCase): RuleTest {
  const severity = rules.find(rule => rule.alert === alert)?.labels['severity'] ?? '';
  const labels = { alertname: alert, alertstate: 'firing', severity, ...fires };
  const text = Object.entries(labels).map(([name, value]) => `${name}="${value}"`);
  const gives = fires === undefined ? [] : [{ labels: `ALERTS{${text.join(',')}}`, value: 1 }];
  return { name: `${alert}: ${when}`, series, at, query: firing(alert), gives };
}

function atAll({ alert, when, series, at, fires }: AlertCase): RuleTest {
  const gives = fires === undefined ? [] : [{ labels: '{}', value: 1 }];
  return { name: `${alert}: ${when}`, series, at, query: `count(${firing(alert)})`, gives };
}

describe('the alerts', () => {
  test('are rule files that Prometheus takes as they are, one alert in each', async () => {
    await checkRuleFiles(files);
    for (const [index, file] of files.entries()) {
      assert.deepEqual(
        groups[index]?.rules.map(rule => rule.alert),
        [basename(file, '.yaml')],
      );
    }
  });

  test('on relays are those that the operator makes for each relay', () => {
    const made = ownGroups.flatMap(group => group.rules.map(rule => rule.alert)).sort();
    const onRelays = globSync(join(chart, 'alerts/relays/*.yaml')).map(file => basename(file, '.yaml'));
    assert.deepEqual(onRelays.sort(), made);
  });

  test('come from operator/resources/alerts.ts word for word', () => {
    for (const [path, text] of chartFiles()) {
      assert.equal(readFileSync(join(chart, path), 'utf8'), text, `${path}: run npm run generate`);
    }
  });

  test('have a severity, a summary, a description and the address of a runbook that exists', () => {
    for (const { alert, labels, annotations } of rules) {
      assert.ok(['critical', 'warning', 'info'].includes(labels['severity'] ?? ''), alert);
      const { summary = '', description = '', runbook_url } = annotations;
      const shown = summary.replace(/\{\{.*?\}\}/g, 'name-of-it');
      assert.ok(shown.endsWith('.') && shown.length < 120, `${alert}: summary`);
      assert.ok(description.endsWith('.') && description.length > 60, `${alert}: description`);
      assert.equal(runbook_url, `https://mailrelay.dev/docs/runbooks/${alert}.md`);
      const page = readFileSync(join(repository, `docs/runbooks/${alert}.md`), 'utf8');
      const headings = page.split('\n').filter(line => line.startsWith('#'));
      assert.deepEqual(headings, [
        `# ${alert}`,
        '## What it means',
        '## Impact',
        '## Look here',
        '## Mend',
        '## Verify',
      ]);
      assert.match(page, new RegExp(`^Severity: ${labels['severity']}\\.`, 'm'));
    }
  });

  test('have no runbook but theirs, and the list of runbooks names each', () => {
    const list = readFileSync(join(repository, 'docs/runbooks/README.md'), 'utf8');
    const known = rules.map(rule => rule.alert).sort();
    const pages = globSync(join(repository, 'docs/runbooks/MailRelay*.md')).map(page =>
      basename(page, '.md'),
    );
    assert.deepEqual(pages.sort(), known);
    assert.deepEqual([...list.matchAll(/^\| \[(\w+)\]/gm)].map(match => match[1]).sort(), known);
  });

  test('speak only of labels that they have when they fire', () => {
    for (const { alert, annotations } of rules) {
      const { fires = {} } = cases.find(each => each.alert === alert && each.fires !== undefined) ?? {};
      for (const [, label = ''] of Object.values(annotations)
        .join(' ')
        .matchAll(/\$labels\.(\w+)/g)) {
        assert.ok(label in fires, `${alert} speaks of ${label}, but has ${Object.keys(fires).join(', ')}`);
      }
    }
  });

  test('have each a case in which it fires and one in which it does not', () => {
    for (const { alert } of rules) {
      const mine = cases.filter(each => each.alert === alert);
      assert.ok(mine.some(({ fires }) => fires) && mine.some(({ fires }) => !fires), alert);
    }
  });

  test('of all relays at once fire when they should and not otherwise', async () => {
    await testRules(groups, cases.map(exactly));
  });

  test('name the MailRelay as kubectl knows it', async () => {
    const told = cases.find(({ alert }) => alert === 'MailRelayMailHeld')!;
    const summary = 'Mail relay apps/mail holds mail, since forwarding is off.';
    for (const one of [groups, ownGroups]) await testAnnotations(one, told, { summary });
  });

  test('of a single relay fire when they should and not otherwise', async () => {
    await testRules(ownGroups, relayCases.filter(({ ofAllAlone }) => !ofAllAlone).map(atAll));
  });
});

describe('the page on Kubernetes', () => {
  test('has a configuration that Prometheus takes', async () => {
    const page = readFileSync(join(repository, 'docs/kubernetes.md'), 'utf8');
    const [, text = ''] = /```yaml\n(rule_files:[\s\S]+?)```/.exec(page) ?? [];
    // Debian builds Prometheus without the discovery of Kubernetes
    await checkConfiguration(parse(text.replace(/kubernetes_sd_configs: .*/g, 'static_configs: []')));
  });
});

describe('the runbooks', () => {
  test('link only to pages that exist', () => {
    for (const page of globSync(join(repository, 'docs/runbooks/*.md'))) {
      for (const [, target = ''] of readFileSync(page, 'utf8').matchAll(/\]\(([^)#:]+)\)/g)) {
        assert.ok(existsSync(join(repository, 'docs/runbooks', target)), `${basename(page)}: ${target}`);
      }
    }
  });
});
