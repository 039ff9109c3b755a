import type { Clock } from './clock.ts';
import type { KubeObject } from './object.ts';
import type { KubeClient } from './resource.ts';

export interface EventNote {
  type: 'Normal' | 'Warning';
  /** CamelCase, ≤ 128 characters. */
  reason: string;
  /** What the reporter did, CamelCase; default the reason. */
  action?: string;
  /** Cut at 1 kB. */
  note: string;
  related?: KubeObject;
}

export interface EventRecorderOptions {
  client: KubeClient;
  /** `reportingController`: a qualified name such as example.com/operator. */
  controller: string;
  /** `reportingInstance`: the pod's name. */
  instance: string;
  /** Whether writing is allowed now; asked before each send. */
  mayWrite?: () => boolean;
  onDropped?: (why: 'rate' | 'full' | 'failed' | 'not-leader') => void;
  clock?: Clock;
}

export interface EventRecorder {
  /** Never blocks, never throws. The object needs apiVersion, kind, name, namespace, uid. */
  record(about: KubeObject, event: EventNote): void;
  /** Resolves when what waits has been sent or given up. */
  flush(): Promise<void>;
  stop(): Promise<void>;
}

export declare function createEventRecorder(options: EventRecorderOptions): EventRecorder;
