/** A transaction of the recovery; those of the running store are batches (batch.ts). */
import type { DatabaseSync } from 'node:sqlite';

/** Runs the work in one: committed when it returns, undone when it throws. */
export function transaction(database: DatabaseSync, work: () => void): void {
  database.exec('BEGIN IMMEDIATE');
  try {
    work();
    database.exec('COMMIT');
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}
