/**
 * A result that must reach the disk although the disk is full: what a provider
 * took must not be forgotten, so its commit waits for room.
 */
import { SpoolError } from '../spool/spool.ts';

/** Between two tries, ms. */
const RETRY_MS = 1000;

/** Repeats `commit` while there is no room. Rejects with any other error, and with that one once `abandoned` says so. */
export async function whenRoom(commit: () => Promise<void>, abandoned: () => boolean): Promise<void> {
  for (;;) {
    try {
      return await commit();
    } catch (error) {
      const wait = error instanceof SpoolError && error.kind === 'disk-full' && !abandoned();
      if (!wait) throw error;
      await new Promise(resolve => setTimeout(resolve, RETRY_MS));
    }
  }
}
