/** What the MailRelay kind, its labels, annotations and finalizer are called. Stable: people and dashboards rest on them. */

export const group = 'mailrelay.dev';
export const version = 'v1alpha1';
export const apiVersion: string = `${group}/${version}`;
export const kind = 'MailRelay';
export const listKind = 'MailRelayList';
export const plural = 'mailrelays';
export const singular = 'mailrelay';
export const shortName = 'mr';
export const category = 'all';
export const crdName: string = `${plural}.${group}`;

/** The field manager of every server-side apply, and the value of app.kubernetes.io/managed-by. */
export const fieldManager = 'mailrelay-operator';

/** The longest metadata.name: what is left of 63 for the suffixes of children, pods and controller revisions. */
export const maxNameLength = 46;

export const labels = {
  /** `mailrelay` on everything. */
  name: 'app.kubernetes.io/name',
  /** The MailRelay's name. */
  instance: 'app.kubernetes.io/instance',
  /** `relay`. */
  component: 'app.kubernetes.io/component',
  managedBy: 'app.kubernetes.io/managed-by',
  partOf: 'app.kubernetes.io/part-of',
  /** `pods` on the headless Service: what the ServiceMonitor looks for. */
  service: `${group}/service`,
} as const;

export const annotations = {
  /** On a MailRelay, by a person: send all failed mail again now. Any new value, usually a time, asks once. */
  resendRequestedAt: `${group}/resend-requested-at`,
  /** On a MailRelay, by a person: reconcile now. Any new value asks once. */
  reconcileRequestedAt: `${group}/reconcile-requested-at`,
  /** On a pod, by the operator: the configuration that the kubelet must bring now. */
  configFingerprint: `${group}/config-fingerprint`,
  /** On a pod, by the operator: changes when a mounted Secret does, so that the kubelet brings it now. */
  credentialsRevision: `${group}/credentials-revision`,
  /**
   * On a claim that no pod serves, by the operator: how many unsent messages its pod left on it, or `unknown`. Outlives
   * the MailRelay as the claim does.
   */
  unsentMessages: `${group}/unsent-messages`,
  /** Beside it: how many dead letters, or `unknown`. */
  deadMessages: `${group}/dead-messages`,
  /** Beside it: how many files in emails/quarantine, or `unknown`. */
  quarantinedFiles: `${group}/quarantined-files`,
  /** On a claim that no pod serves, by the operator: when its pod went, RFC 3339. */
  unservedSince: `${group}/unserved-since`,
  /**
   * Beside these, where one is a number: `uid/generation` of the workload of which it was said, and `/released` when that
   * went with its MailRelay. Who has changed the workload since may have had a pod there, so that nobody knows.
   */
  unservedBy: `${group}/unserved-by`,
  /** Beside these: the uid of the claim. One that was made anew with the annotations of another is on another volume. */
  unservedClaim: `${group}/unserved-claim`,
  /** On children, by the operator: hash of what was applied last. */
  appliedHash: `${group}/applied-hash`,
} as const;

/** Holds a deleted MailRelay until its pods have sent what they can, or the drain timeout has passed. */
export const drainFinalizer: string = `${group}/drain`;
