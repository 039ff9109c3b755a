/** What builders need to know besides the MailRelay itself. Everything in it is a value: a builder is a pure function. */

export interface BuildContext {
  /** Image of the relay where spec.image says nothing. */
  readonly image: string;
  /** Namespace of the operator, which reads /status of the pods. */
  readonly operatorNamespace: string;
  /** Namespaces whose pods may read metrics. */
  readonly monitoringNamespaces: readonly string[];
  /** Where runbooks are, without a slash at the end: `https://…/docs/runbooks`. */
  readonly runbooks: string;
  /** Pods to have now: spec.replicas, or more while replicas that are to go still drain. */
  readonly replicas: number;
  /** Host names (pod names) of replicas that take no new mail and send what they have. */
  readonly draining: readonly string[];
  /** What the live claim (Shared) asks for: a claim never shrinks. Absent: there is none yet. */
  readonly liveClaimSize?: string;
  /** What the live StatefulSet's volumeClaimTemplate asks for: it cannot be changed. Absent: there is none yet. */
  readonly liveTemplateSize?: string;
}
