/**
 * Everything one reconciliation has found out and done, as a value: what the
 * conditions, the status and the events are made of.
 */
import type { MailRelay, MailRelayObject } from '../api/mail-relay.ts';
import type { HeldVolume } from '../api/schema-status.ts';
import type { Credentials } from './credentials.ts';
import type { PodReport } from './pod-reports.ts';
import type { ScalePlan } from './scale.ts';

/** Something only a person can mend; see conditionReasons.Stalled. */
export interface Obstacle {
  readonly reason: 'NameTaken' | 'Refused' | 'ImmutableField';
  readonly message: string;
  /** Without that child, as the spec has it, no mail is taken or relayed. */
  readonly mailNeeds: boolean;
}

export interface WorkloadState {
  /** spec.replicas as applied. */
  readonly desired: number;
  readonly replicas: number;
  readonly ready: number;
  readonly updated: number;
  /** The controller has seen the newest spec. */
  readonly observed: boolean;
}

export interface VolumeState {
  /** Claims that are not bound. */
  readonly pending: readonly string[];
  readonly resize?: {
    readonly reason: 'ResizePending' | 'ResizeRefused' | 'ShrinkRefused';
    readonly message: string;
  };
  /** Volumes that no pod serves and that hold mail, or may hold some. */
  readonly held: readonly HeldVolume[];
  /** Claims that somebody has deleted and that a pod still uses: which, and what to do. */
  readonly going?: string;
}

export interface Observation {
  readonly object: MailRelayObject;
  /** undefined when the spec is wrong; `problems` says how. */
  readonly relay?: MailRelay;
  readonly problems?: readonly string[];
  readonly suspended?: { readonly pending: readonly string[] };
  readonly credentials?: Credentials;
  /** Why the Secrets could not be read. */
  readonly secretsUnread?: { readonly reason: 'SecretForbidden' | 'ReadFailed'; readonly message: string };
  readonly obstacles: readonly Obstacle[];
  /** Steps that failed and are tried again. */
  readonly retrying: readonly string[];
  readonly fingerprint?: string;
  /** The ConfigMap has the configuration with that fingerprint. */
  readonly configWritten?: boolean;
  readonly workload?: WorkloadState;
  readonly reports: readonly PodReport[];
  readonly scale?: ScalePlan;
  /** Being deleted, and everything is sent that is to be: what must still come to pass, in words. */
  readonly awaitedEnd?: string;
  readonly volumes: VolumeState;
  readonly deleting: boolean;
}
