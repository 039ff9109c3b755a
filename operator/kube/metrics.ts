import type { Registry } from 'prom-client';
import type { InformerOptions } from './informer.ts';
import type { KubeObject } from './object.ts';
import type { RequestReport } from './transport.ts';
import type { WorkQueueHooks } from './work-queue.ts';

/** Callbacks to hand to the other parts of the kit, which feed metrics named and shaped as controller-runtime's. */
export interface KubeMetrics {
  /** For `createTransport({onRequest})`. */
  onRequest(report: RequestReport): void;
  /** For `createWorkQueue({hooks})`: queue metrics and reconcile totals, errors, time of this controller. */
  queueHooks(controller: string, also?: WorkQueueHooks): WorkQueueHooks;
  /** For `createInformer`: watch restarts and faults by kind. */
  informerHooks<T extends KubeObject>(kind: string): Pick<InformerOptions<T>, 'onFault' | 'onWatchStart'>;
  /** For the lease's callbacks. */
  setLeader(leaseName: string, leading: boolean): void;
  onEventDropped(why: string): void;
}

export declare function createKubeMetrics(registry: Registry): KubeMetrics;
