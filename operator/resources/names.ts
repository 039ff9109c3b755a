/** Names, labels and owner of everything that belongs to one MailRelay, in one place. */
import type { MailRelay } from '../api/mail-relay.ts';
import { apiVersion, fieldManager, kind, labels } from '../api/names.ts';
import type { ObjectMeta, OwnerReference } from '../kube/object.ts';

export interface ChildNames {
  /** Applications send to `<service>.<namespace>.svc`. */
  readonly service: string;
  /** Headless: a name for each pod, and what Prometheus scrapes. */
  readonly podService: string;
  /** Deployment or StatefulSet. */
  readonly workload: string;
  readonly configMap: string;
  /** The claim of mode Shared. */
  readonly claim: string;
  readonly serviceAccount: string;
  readonly disruptionBudget: string;
  readonly networkPolicy: string;
  readonly serviceMonitor: string;
  readonly prometheusRule: string;
}

export function childNames({ name }: { readonly name: string }): ChildNames {
  return {
    service: name,
    podService: `${name}-pods`,
    workload: name,
    configMap: `${name}-config`,
    claim: `${name}-spool`,
    serviceAccount: name,
    disruptionBudget: name,
    networkPolicy: name,
    serviceMonitor: name,
    prometheusRule: name,
  };
}

/** Name of the volume, and of the volumeClaimTemplate with mode PerReplica. */
export const spoolVolume = 'spool';

/** The pod of a replica, mode PerReplica; ordinals from 0. */
export function replicaPod(relay: { readonly name: string }, ordinal: number): string {
  return `${relay.name}-${ordinal}`;
}

/** The claim of a replica, mode PerReplica, as the StatefulSet controller names it. */
export function replicaClaim(relay: { readonly name: string }, ordinal: number): string {
  return `${spoolVolume}-${replicaPod(relay, ordinal)}`;
}

/** It is the name of a claim that pods of the relay would mount, of whichever spool mode. */
export function isVolumeName(relay: { readonly name: string }, name: string): boolean {
  const ordinal = ordinalOf(relay, name);
  return name === childNames(relay).claim || (ordinal !== undefined && name === replicaClaim(relay, ordinal));
}

/** The ordinal in the name of a pod or claim of this relay, which may itself be called `spool-…`; undefined when it is neither. */
export function ordinalOf(relay: { readonly name: string }, name: string): number | undefined {
  const prefix =
    [`${spoolVolume}-${relay.name}-`, `${relay.name}-`].find(one => name.startsWith(one)) ?? name;
  const ordinal = name.slice(prefix.length);
  return /^(?:0|[1-9][0-9]{0,3})$/.test(ordinal) ? Number(ordinal) : undefined;
}

/** What pods of a relay have and nothing else has: never changes, since selectors cannot. */
export function selectorLabels(relay: { readonly name: string }): Record<string, string> {
  return {
    [labels.name]: 'mailrelay',
    [labels.instance]: relay.name,
    [labels.component]: 'relay',
  };
}

/** On every child. */
export function childLabels(relay: { readonly name: string }): Record<string, string> {
  return { ...selectorLabels(relay), [labels.managedBy]: fieldManager, [labels.partOf]: 'mailrelay' };
}

/** By these a claim is known as one with the mail of that relay, or of an earlier one of the name. */
export function volumeLabels(relay: { readonly name: string }): Record<string, string> {
  return { [labels.instance]: relay.name, [labels.partOf]: 'mailrelay' };
}

/** The selector as text, for status.selector and for lists. */
export function selectorText(relay: { readonly name: string }): string {
  return Object.entries(selectorLabels(relay))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

export function ownerReference(relay: MailRelay): OwnerReference {
  return { apiVersion, kind, name: relay.name, uid: relay.uid, controller: true, blockOwnerDeletion: true };
}

/** Metadata of a child that goes with its relay. */
export function childMetadata(relay: MailRelay, name: string): ObjectMeta {
  return {
    name,
    namespace: relay.namespace,
    labels: childLabels(relay),
    ownerReferences: [ownerReference(relay)],
  };
}
