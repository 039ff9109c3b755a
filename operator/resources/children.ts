/**
 * All children of a MailRelay, in the order in which they are made: what pods
 * need comes before the pods. A child that is not wanted is in the list
 * without a manifest, so that the one who applies knows what to remove.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Resource } from '../kube/resource.ts';
import { configMap } from './config-map.ts';
import type { BuildContext } from './context.ts';
import { deployment } from './deployment.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  persistentVolumeClaims,
  podDisruptionBudgets,
  prometheusRules,
  serviceAccounts,
  serviceMonitors,
  services,
  statefulSets,
} from './kinds.ts';
import { childNames } from './names.ts';
import { networkPolicy } from './network-policy.ts';
import { persistentVolumeClaim } from './persistent-volume-claim.ts';
import { podDisruptionBudget } from './pod-disruption-budget.ts';
import { prometheusRule } from './prometheus-rule.ts';
import { podService, service } from './service.ts';
import { serviceAccount } from './service-account.ts';
import { serviceMonitor } from './service-monitor.ts';
import { statefulSet } from './stateful-set.ts';

export interface Child<T extends KubeObject = KubeObject> {
  readonly resource: Resource<T>;
  readonly name: string;
  /** Absent: there must be none. Volumes alone are never removed for that: they may hold mail. */
  readonly manifest?: T;
  /** The kind may not exist in the cluster; then there is nothing to do. */
  readonly optionalKind: boolean;
  /** Pods do not start without it, or start with what was before: the workload waits for it. */
  readonly podsNeed: boolean;
  /** Programs could hand in no mail, or nobody would send it; what only watches, guards or counts pods is no such child. */
  readonly mailNeeds: boolean;
}

export function children(relay: MailRelay, context: BuildContext): readonly Child[] {
  const names = childNames(relay);
  const shared = relay.spec.spool.mode === 'Shared';
  return [
    needed(serviceAccounts, names.serviceAccount, serviceAccount(relay)),
    needed(configMaps, names.configMap, configMap(relay, context)),
    ...(shared ? [needed(persistentVolumeClaims, names.claim, persistentVolumeClaim(relay, context))] : []),
    forMail(child(services, names.service, service(relay))),
    child(services, names.podService, podService(relay)),
    child(networkPolicies, names.networkPolicy, networkPolicy(relay, context)),
    child(podDisruptionBudgets, names.disruptionBudget, podDisruptionBudget(relay)),
    forMail(child(deployments, names.workload, shared ? deployment(relay, context) : undefined)),
    forMail(child(statefulSets, names.workload, shared ? undefined : statefulSet(relay, context))),
    { ...child(serviceMonitors, names.serviceMonitor, serviceMonitor(relay)), optionalKind: true },
    { ...child(prometheusRules, names.prometheusRule, prometheusRule(relay, context)), optionalKind: true },
  ];
}

function child<T extends KubeObject>(resource: Resource<T>, name: string, manifest: T | undefined): Child<T> {
  return {
    resource,
    name,
    optionalKind: false,
    podsNeed: false,
    mailNeeds: false,
    ...(manifest !== undefined && { manifest }),
  };
}

function needed<T extends KubeObject>(resource: Resource<T>, name: string, manifest: T): Child<T> {
  return { ...forMail(child(resource, name, manifest)), podsNeed: true };
}

function forMail<T extends KubeObject>(one: Child<T>): Child<T> {
  return { ...one, mailNeeds: true };
}
