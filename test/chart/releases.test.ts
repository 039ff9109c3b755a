/** Several releases of the chart in one cluster: whose operator an alert is about. */
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { type AlertCase, labelled, operator } from './alert-series.ts';
import { one, type Release, type Rendered, release, render } from './helm.ts';
import { operatorCases } from './operator-alert-cases.ts';
import { selectors } from './promql.ts';
import { type RuleTest, testRules } from './promtool.ts';

type Rule = { readonly alert: string; readonly expr: string };
type Group = { readonly name: string; readonly rules: readonly Rule[] };

const other: Release = { ...release, namespace: 'mail-b' };
const down = 'MailRelayOperatorDown';
const args = ['prometheusRule.enabled=true', 'serviceMonitor.enabled=true'].flatMap(set => ['--set', set]);

const count = (alert: string, { when, series, at }: Omit<AlertCase, 'alert'>, value: number): RuleTest => ({
  name: `${alert}: ${when}`,
  series,
  at,
  query: `count(ALERTS{alertname="${alert}",alertstate="firing"})`,
  gives: value === 0 ? [] : [{ labels: '{}', value }],
});

describe('of two releases of the chart', () => {
  let ours: readonly Rendered[];
  let theirs: readonly Rendered[];
  const groupsOf = (objects: readonly Rendered[]): readonly Group[] =>
    one(objects, 'PrometheusRule').spec.groups;
  before(async () => {
    [ours, theirs] = await Promise.all([render(args), render(args, other)]);
  });

  test('each alerts by the labels that its ServiceMonitor gives', () => {
    for (const objects of [ours, theirs]) {
      const { namespace, name } = one(objects, 'Service', '-metrics').metadata;
      const [{ targetLabel, replacement }] = one(objects, 'ServiceMonitor')['spec'].endpoints[0].relabelings;
      const given = [`${targetLabel}=${replacement}`, `namespace=${namespace}`, `service=${name}`];
      const asked = groupsOf(objects).flatMap(({ rules }) => rules.flatMap(({ expr }) => selectors(expr)));
      for (const { metric, matchers } of asked) {
        const matched = matchers.map(({ label, operator: is, value }) => `${label}${is}${value}`);
        assert.deepEqual(matched.slice(0, given.length), given, metric);
      }
    }
  });

  test('one alerts on its own operator and on the MailRelays of that', async () => {
    const tests = operatorCases.map(each => count(each.alert, each, each.fires === undefined ? 0 : 1));
    await testRules(groupsOf(ours), tests);
  });

  test('the other says nothing of them but that it has no operator itself', async () => {
    const others = operatorCases.filter(({ alert }) => alert !== down);
    await testRules(groupsOf(theirs), [
      ...others.map(each => count(each.alert, each, 0)),
      ...others.map(each => count(down, each, 1)),
    ]);
  });

  test('one tells whose operator is gone for good, however well the other is', async () => {
    const up = { ...operator, namespace: other.namespace };
    await testRules(groupsOf(ours), [
      {
        name: 'gone',
        series: { [labelled('up', up)]: '1x300' },
        at: 300,
        query: `ALERTS{alertname="${down}",alertstate="firing"}`,
        gives: [
          {
            labels: `ALERTS{alertname="${down}",alertstate="firing",severity="warning",namespace="${operator.namespace}",service="${operator.service}"}`,
            value: 1,
          },
        ],
      },
    ]);
  });
});
