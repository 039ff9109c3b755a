/** promtool on rules: do they parse, and which alerts fire at which time. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { command } from '../cluster/process.ts';

/** Files in a directory of their own for as long as `use` takes. */
async function withFiles<T>(
  files: Readonly<Record<string, unknown>>,
  use: (directory: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-rules-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      await writeFile(join(directory, name), stringify(content, { lineWidth: 0 }));
    }
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Throws promtool's words when an expression does not parse. */
export async function checkExpressions(expressions: readonly string[]): Promise<void> {
  const rules = expressions.map((expr, index) => ({ record: `checked:${index}`, expr }));
  await withFiles({ 'rules.yaml': { groups: [{ name: 'checked', rules }] } }, async directory => {
    await command(['promtool', 'check', 'rules', '--lint=none', join(directory, 'rules.yaml')]);
  });
}

/** Rule files as they are. Throws promtool's words. */
export async function checkRuleFiles(files: readonly string[]): Promise<void> {
  await command(['promtool', 'check', 'rules', '--lint-fatal', ...files]);
}

/** A configuration of Prometheus itself. Throws promtool's words. */
export async function checkConfiguration(configuration: object): Promise<void> {
  await withFiles({ 'prometheus.yml': configuration }, async directory => {
    await command(['promtool', 'check', 'config', '--syntax-only', join(directory, 'prometheus.yml')]);
  });
}

export type RuleTest = {
  readonly name: string;
  readonly series: Readonly<Record<string, string>>;
  /** In minutes. */
  readonly at: number;
  readonly query: string;
  /** What the query gives: series as text. */
  readonly gives: readonly { readonly labels: string; readonly value: number }[];
};

type FiringCase = {
  readonly alert: string;
  readonly series: Readonly<Record<string, string>>;
  readonly at: number;
  readonly fires?: Readonly<Record<string, string>>;
};

type Templated = {
  readonly rules: readonly {
    readonly alert: string;
    readonly labels: object;
    readonly annotations: object;
  }[];
};

/** What an alert says when it fires; of its annotations, those named in `says`. Throws promtool's words otherwise. */
export async function testAnnotations(
  groups: readonly Templated[],
  { alert, series, at, fires }: FiringCase,
  says: Readonly<Record<string, string>>,
): Promise<void> {
  const rule = groups.flatMap(group => group.rules).find(each => each.alert === alert);
  const named = Object.entries(rule?.annotations ?? {}).filter(([name]) => name in says);
  const alone = { name: alert, rules: [{ ...rule, annotations: Object.fromEntries(named) }] };
  const exp_alerts = [{ exp_labels: { ...fires, ...rule?.labels }, exp_annotations: says }];
  await run([alone], {
    interval: '1m',
    input_series: Object.entries(series).map(([each, values]) => ({ series: each, values })),
    alert_rule_test: [{ eval_time: `${at}m`, alertname: alert, exp_alerts }],
  });
}

/** Runs all `tests` on the groups of rules. Throws promtool's words when one gives something else. */
export async function testRules(groups: readonly object[], tests: readonly RuleTest[]): Promise<void> {
  const each = tests.map(({ name, series, at, query, gives }) => ({
    name,
    interval: '1m',
    input_series: Object.entries(series).map(([one, values]) => ({ series: one, values })),
    promql_expr_test: [{ expr: query, eval_time: `${at}m`, exp_samples: gives }],
  }));
  await run(groups, ...each);
}

async function run(groups: readonly object[], ...tests: readonly object[]): Promise<void> {
  const test = { rule_files: ['rules.yaml'], evaluation_interval: '1m', tests };
  await withFiles({ 'rules.yaml': { groups }, 'test.yaml': test }, async directory => {
    await command(['promtool', 'test', 'rules', join(directory, 'test.yaml')]);
  });
}
