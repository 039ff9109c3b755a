/**
 * The store's thread with a kill at a named step: when the file SPOOL_ARM
 * exists and SPOOL_STEP is reached, the process gets SIGKILL, as from outside.
 */
import { existsSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { StoreOptions } from '../../../relay/spool/protocol.ts';
import { runStore } from '../../../relay/spool/store-thread.ts';

const { SPOOL_ARM = '', SPOOL_STEP = '' } = process.env;
const [wanted, count = '1'] = SPOOL_STEP.split('#');
let left = Number(count);

function step(name: string): void {
  if (name !== wanted || !existsSync(SPOOL_ARM)) return;
  left--;
  if (left > 0) return;
  process.kill(process.pid, 'SIGKILL');
  for (;;);
}

if (parentPort !== null) await runStore(parentPort, workerData as StoreOptions, step);
