import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'yaml';
import { relayStates } from '../../operator/reconcile/relay-state.ts';
import { attempt, everyEvent } from '../unit/telemetry/events.ts';
import { dashboard, filled, panels } from './dashboard.ts';
import { exposed, relayMetrics, targetLabels } from './exposed.ts';
import { chart, repository } from './helm.ts';
import { type Prometheus, startPrometheus } from './prometheus.ts';
import { groupings, replacements, selectors } from './promql.ts';
import { checkExpressions } from './promtool.ts';

const ofPanels = panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ refId, expr }) => ({ where: `panel "${title}" ${refId}`, expr: filled(expr) })),
);
const ofAlerts = globSync(join(chart, 'alerts/*/*.yaml')).flatMap(file =>
  parse(readFileSync(file, 'utf8')).groups.flatMap(
    ({ rules }: { rules: { alert: string; expr: string }[] }) =>
      rules.map(({ alert, expr }) => ({ where: `alert ${alert}`, expr })),
  ),
) as { where: string; expr: string }[];
const queries = [...ofPanels, ...ofAlerts];
const known = exposed();

/** Texts in which values of labels are defined. */
const sources = [
  ...globSync(join(repository, '{relay/telemetry,operator/kube}/*.ts')).map(file =>
    readFileSync(file, 'utf8'),
  ),
  ...Object.keys(relayStates).map(state => `'${state}'`),
].join('\n');
/** Labels whose values are the code's, so that a matcher can be wrong. */
const closed = new Set(['state', 'outcome', 'result', 'reason']);

describe('the queries of dashboard and alerts', () => {
  test('are there', () => {
    assert.ok(ofPanels.length > 30 && ofAlerts.length > 15);
  });

  test('are PromQL', async () => {
    await checkExpressions(queries.map(({ expr }) => expr));
  });

  test('speak only of metrics that the programs expose, and of labels that these have', () => {
    for (const { where, expr } of queries) {
      for (const { metric, matchers } of selectors(expr)) {
        const labels = known.get(metric);
        assert.ok(labels, `${where}: nothing exposes ${metric}`);
        for (const { label } of matchers) assert.ok(labels.has(label), `${where}: ${metric} has no ${label}`);
      }
    }
  });

  test('group only by labels that one of their metrics has', () => {
    for (const { where, expr } of queries) {
      const had = selectors(expr).flatMap(({ metric }) => [...(known.get(metric) ?? [])]);
      for (const { from } of replacements(expr)) assert.ok(had.includes(from), `${where}: ${from}`);
      const labels = [...had, ...replacements(expr).map(({ to }) => to)];
      for (const label of groupings(expr)) assert.ok(labels.includes(label), `${where}: ${label}`);
    }
  });

  test('match only values that the programs write', () => {
    for (const { where, expr } of queries) {
      const matchers = selectors(expr).flatMap(selector => selector.matchers);
      for (const { label, value } of matchers.filter(each => closed.has(each.label))) {
        for (const one of value.split('|')) {
          assert.match(sources, new RegExp(`['|]?\\b${one}\\b'`), `${where}: ${label}="${one}"`);
        }
      }
    }
  });

  test('select by namespace and relay in every panel, so that two relays are not mixed up', () => {
    for (const { title, targets = [] } of panels) {
      for (const { expr } of targets) {
        for (const { metric, matchers } of selectors(expr.replaceAll('$', ''))) {
          const labels = matchers.map(({ label }) => label);
          assert.ok(labels.includes('namespace'), `${title}: ${metric} without namespace`);
          assert.ok(metric === 'ALERTS' || labels.includes('service'), `${title}: ${metric} without service`);
        }
      }
    }
  });

  test('of variables name metrics and labels that are there', () => {
    for (const { definition = '' } of dashboard.templating.list.filter(({ type }) => type === 'query')) {
      const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/.exec(definition) ?? [];
      const metric = selectors(filled(selector))[0]?.metric ?? '';
      assert.ok(known.get(metric)?.has(label), definition);
    }
  });
});

/** Panels that show nothing when nothing of the kind has happened; here it has. */
describe('the queries on a real Prometheus during an outage', () => {
  let prometheus: Prometheus;
  before(async () => {
    const target = { namespace: 'apps', service: 'mail-pods', container: 'relay', endpoint: 'http' };
    const pods = ['mail-0', 'mail-1'].map(pod => ({
      pod,
      metrics: relayMetrics({ primary: 'failing', backup: 'active', third: 'standby' }),
    }));
    prometheus = await startPrometheus(
      pods.map(({ pod, metrics }) => ({ render: () => metrics.render(), labels: { ...target, pod } })),
    );
    await prometheus.until('count(mailrelay_build_info) == 2');
    for (const { metrics } of pods) {
      for (const event of everyEvent) metrics.emit(event);
      for (let times = 0; times < 5; times += 1)
        metrics.emit({ ...attempt, class: 'service', stage: 'greeting' });
    }
    await prometheus.until('count(mailrelay_failovers_total) == 2');
    // increase() wants a second sample after the change
    await prometheus.until('count(count_over_time(mailrelay_failovers_total[1m]) >= 2) == 2');
  });
  after(() => prometheus.stop());

  for (const { title, targets = [] } of panels.filter(each => each.title !== 'Alerts firing')) {
    test(`"${title}" has something to show`, async () => {
      for (const { expr } of targets) {
        const query = filled(expr, { namespace: 'apps', relay: 'mail-pods' });
        assert.ok((await prometheus.query(query)).length > 0, query);
      }
    });
  }

  test('say which provider fails, why, and where mail goes instead', async () => {
    const ask = async (title: string, refId = 'A') => {
      const target = panels.find(each => each.title === title)?.targets?.find(each => each.refId === refId);
      return prometheus.query(filled(target?.expr ?? ''));
    };
    const table = 'Providers: state, last usable, why not';
    const states = (await ask(table)).map(({ metric }) => `${metric['provider']} ${metric['state']}`);
    assert.deepEqual(states.sort(), ['backup active', 'primary failing', 'third standby']);
    const usable = (await ask(table, 'B')).map(({ metric }) => metric['provider']);
    assert.deepEqual(usable.sort(), ['backup', 'third']);
    const [why] = (await ask(table, 'C')).map(({ metric, value }) => ({ ...metric, times: value[1] }));
    const place = { namespace: 'apps', service: 'mail-pods' };
    assert.deepEqual(why, {
      ...place,
      provider: 'primary',
      stage: 'greeting',
      class: 'service',
      times: '10',
    });
    const [instead] = await ask('Failovers, from → to');
    assert.deepEqual(instead?.metric, { from: 'primary', to: 'backup' });
    assert.equal(instead?.value[1], '2');
    assert.equal((await ask('Providers out of use'))[0]?.value[1], '1');
    assert.equal((await ask('Mail waiting'))[0]?.value[1], '26');
    assert.ok(Number((await ask('Oldest waiting'))[0]?.value[1]) >= 600);
  });

  test('execute for every alert', async () => {
    for (const { expr } of ofAlerts) await prometheus.query(expr);
  });

  test('meet the labels of the target on every series', async () => {
    const series = await prometheus.query('{__name__=~"mailrelay_.+"}');
    for (const label of targetLabels)
      assert.ok(
        series.every(({ metric }) => label in metric),
        label,
      );
  });
});
