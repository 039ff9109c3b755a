/**
 * Rows whose body file is not there: such a message cannot be sent by anybody.
 * It becomes dead, with the reason, and never disappears. Looks for each file
 * of a place, a bounded number of rows at a time.
 */
import { lstatSync, type PathLike } from 'node:fs';
import { bodyPath } from './body-files.ts';
import type { MessageId } from './message.ts';
import { DEAD, IN_FAILED, NOWHERE, type Place } from './protocol.ts';
import type { Rows } from './rows.ts';
import { transaction } from './transaction.ts';

/** Rows looked at in one step. */
const STEP = 1000;

type Row = readonly [n: number, id: MessageId, recipients: string, reason: string];

/** Makes every message dead that should have its body in that place and has not; `buried` hears of each. */
export function buryMissing(
  directory: string,
  rows: Rows,
  place: Place,
  buried: (id: MessageId) => void,
): void {
  for (let after = 0; ; ) {
    const step = rows.all(
      'SELECT n, id, recipients, reason FROM message WHERE place = ? AND n > ? ORDER BY n LIMIT ?',
      place,
      after,
      STEP,
    ) as unknown as readonly Row[];
    const last = step.at(-1);
    if (last === undefined) return;
    after = last[0];
    const missing = step.filter(([, id]) => !exists(bodyPath(directory, place, id)));
    if (missing.length === 0) continue;
    transaction(rows.database, () => {
      for (const row of missing) bury(rows, place, row);
    });
    for (const [, id] of missing) buried(id);
  }
}

/** Whether there is anything of that name. */
export function exists(path: PathLike): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

function bury(rows: Rows, place: Place, [n, id, recipients, reason]: Row): void {
  const was = place === IN_FAILED ? 'failed' : 'dead';
  const why = `body missing: emails/${was}/${id}.eml is not there`;
  rows.run(
    'UPDATE message SET state = ?, place = ?, recipients = ?, reason = ? WHERE n = ?',
    DEAD,
    NOWHERE,
    expirePending(recipients, why),
    reason === '' ? why : `${why}; ${reason}`,
    n,
  );
}

/** Nobody will hear of this message again: what is pending is over. */
function expirePending(recipients: string, reply: string): string {
  const list = JSON.parse(recipients) as { readonly state: string }[];
  return JSON.stringify(
    list.map(one => (one.state === 'pending' ? { ...one, state: 'expired', reply } : one)),
  );
}
