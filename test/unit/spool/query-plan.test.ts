/** SQLite is asked how it would run the statements that a long queue depends on. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { Rows } from '../../../relay/spool/rows.ts';
import { MIGRATIONS } from '../../../relay/spool/schema.ts';

/** The plan of each statement that `use` runs. */
function plansOf(use: (rows: Rows) => void): string[] {
  const database = new DatabaseSync(':memory:');
  for (const migration of MIGRATIONS) database.exec(migration);
  const statements: string[] = [];
  const watched = new Proxy(database, {
    get(target, key) {
      if (key !== 'prepare') return Reflect.get(target, key);
      return (sql: string) => {
        statements.push(sql);
        return target.prepare(sql);
      };
    },
  });
  use(new Rows(watched));
  return statements.map(sql =>
    database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map(row => String(row['detail']))
      .join('; '),
  );
}

describe('a claim from a long queue', () => {
  const claims: Record<string, (rows: Rows) => Iterable<unknown>> = {
    'the latest round of mail that failed': rows =>
      rows.all('SELECT max(tried_at) FROM message WHERE state = 1'),
    'failed mail, all of it at once': rows => rows.untried(1, 1, 1),
    'active mail, all of it at once': rows => rows.untried(0, 1, 1),
    'failed mail that is due': rows => rows.due(1, 2, 1),
    'active mail': rows => rows.due(0, 2, 1),
  };
  for (const [what, claim] of Object.entries(claims)) {
    test(`${what}: reads in the order of an index and sorts nothing`, () => {
      const plans = plansOf(rows => Array.from(claim(rows)));
      assert.equal(plans.length, 1);
      assert.match(plans[0]!, /USING INDEX/);
      assert.doesNotMatch(plans[0]!, /TEMP B-TREE|SCAN/);
    });
  }
});
