import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { dashboard, dashboardFile, panels } from './dashboard.ts';
import { groupings } from './promql.ts';

const kinds = new Set(['stat', 'table', 'timeseries', 'state-timeline']);

describe('the dashboard', () => {
  test('can be imported by any Grafana: own uid, no database id, current schema', () => {
    assert.equal(dashboard.uid, 'mailrelay-providers');
    assert.equal(dashboard.title, 'Mail providers');
    assert.equal(dashboard.id, null);
    assert.ok(dashboard.schemaVersion >= 41);
  });

  test('asks for its data source and names none', () => {
    const [first] = dashboard.templating.list;
    assert.equal(first?.type, 'datasource');
    const text = readFileSync(dashboardFile, 'utf8');
    const uids = [...text.matchAll(/"uid": "([^"]+)"/g)].map(match => match[1]);
    // biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana writes variables so
    const allowed = ['${datasource}', dashboard.uid];
    assert.deepEqual(
      uids.filter(uid => !allowed.includes(uid ?? '')),
      [],
    );
    for (const { title, datasource, targets = [] } of panels) {
      assert.ok(datasource && targets.every(target => target.datasource.uid === datasource.uid), title);
    }
  });

  test('can be narrowed to a namespace, a relay and a provider, and shows all of them at first', () => {
    const variables = dashboard.templating.list.slice(1);
    assert.deepEqual(
      variables.map(({ name }) => name),
      ['namespace', 'relay', 'provider'],
    );
    assert.ok(variables.every(({ includeAll, allValue }) => includeAll && allValue === '.*'));
  });

  test('has panels of kinds that every Grafana has, each with a number, a title and an explanation', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    for (const { type, title, description = '', targets = [] } of panels) {
      assert.ok(kinds.has(type), `${title}: ${type}`);
      assert.ok(title !== '' && description.length > 5, title);
      assert.ok(targets.length > 0, `${title} has no query`);
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    }
  });

  test('has no panel on top of another or beyond the edge', () => {
    const taken = new Map<string, string>();
    for (const { title, gridPos } of dashboard.panels) {
      assert.ok(gridPos.x >= 0 && gridPos.x + gridPos.w <= 24, title);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          const other = taken.get(`${x},${y}`);
          assert.equal(other, undefined, `"${title}" lies on "${other}"`);
          taken.set(`${x},${y}`, title);
        }
      }
    }
  });

  test('lists what fires with the MailRelay, pod and provider that it is about', () => {
    const { targets = [], transformations = [] } = panels.find(({ title }) => title === 'Alerts firing')!;
    const shown = Object.keys(transformations[0]?.options['indexByName'] ?? {});
    assert.deepEqual([...shown].sort(), [...groupings(targets[0]?.expr ?? '')].sort());
    for (const label of ['namespace', 'mailrelay', 'state', 'service', 'pod', 'provider']) {
      assert.ok(shown.includes(label), label);
    }
  });

  test('has a unit on every panel with numbers', () => {
    for (const { type, title, fieldConfig } of panels) {
      if (type === 'table' || type === 'state-timeline') continue;
      assert.ok(typeof fieldConfig?.defaults['unit'] === 'string', title);
    }
  });
});
