/** Entry of the store's thread. */
import { parentPort, workerData } from 'node:worker_threads';
import type { StoreOptions } from './protocol.ts';
import { runStore } from './store-thread.ts';

if (parentPort !== null) await runStore(parentPort, workerData as StoreOptions);
