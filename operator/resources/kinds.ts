/** The kinds that a MailRelay's children are of, with the types of their objects. */
import type {
  V1ConfigMap,
  V1Deployment,
  V1NetworkPolicy,
  V1PersistentVolumeClaim,
  V1PodDisruptionBudget,
  V1Service,
  V1ServiceAccount,
  V1StatefulSet,
} from '@kubernetes/client-node';
import type { KubeObject, Manifest } from '../kube/object.ts';
import { defineResource, type Resource } from '../kube/resource.ts';

export type ConfigMap = Manifest<V1ConfigMap>;
export type Deployment = Manifest<V1Deployment>;
export type StatefulSet = Manifest<V1StatefulSet>;
export type Service = Manifest<V1Service>;
export type PersistentVolumeClaim = Manifest<V1PersistentVolumeClaim>;
export type ServiceAccount = Manifest<V1ServiceAccount>;
export type PodDisruptionBudget = Manifest<V1PodDisruptionBudget>;
export type NetworkPolicy = Manifest<V1NetworkPolicy>;

/** The parts of the Prometheus operator's kinds that are written. */
export interface ServiceMonitor extends KubeObject {
  spec: {
    selector: { matchLabels: Record<string, string> };
    endpoints: { port: string; path: string; interval: string; scrapeTimeout: string }[];
  };
}
export interface AlertRule {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
export interface PrometheusRule extends KubeObject {
  spec: { groups: { name: string; rules: AlertRule[] }[] };
}

function namespaced<T extends KubeObject>(apiVersion: string, kind: string, plural: string): Resource<T> {
  return defineResource<T>({ apiVersion, kind, plural, namespaced: true });
}

export const configMaps = namespaced<ConfigMap>('v1', 'ConfigMap', 'configmaps');
export const deployments = namespaced<Deployment>('apps/v1', 'Deployment', 'deployments');
export const statefulSets = namespaced<StatefulSet>('apps/v1', 'StatefulSet', 'statefulsets');
export const services = namespaced<Service>('v1', 'Service', 'services');
export const persistentVolumeClaims = namespaced<PersistentVolumeClaim>(
  'v1',
  'PersistentVolumeClaim',
  'persistentvolumeclaims',
);
export const serviceAccounts = namespaced<ServiceAccount>('v1', 'ServiceAccount', 'serviceaccounts');
export const podDisruptionBudgets = namespaced<PodDisruptionBudget>(
  'policy/v1',
  'PodDisruptionBudget',
  'poddisruptionbudgets',
);
export const networkPolicies = namespaced<NetworkPolicy>(
  'networking.k8s.io/v1',
  'NetworkPolicy',
  'networkpolicies',
);
/** Exists only where the Prometheus operator is installed. */
export const serviceMonitors = namespaced<ServiceMonitor>(
  'monitoring.coreos.com/v1',
  'ServiceMonitor',
  'servicemonitors',
);
/** Exists only where the Prometheus operator is installed. */
export const prometheusRules = namespaced<PrometheusRule>(
  'monitoring.coreos.com/v1',
  'PrometheusRule',
  'prometheusrules',
);
