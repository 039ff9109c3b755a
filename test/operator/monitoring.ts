/** The kinds of the Prometheus operator that are written, as CRDs that take everything. */
import type { KubeObject } from '../../operator/kube/object.ts';

function definitionOf(kind: string, plural: string): KubeObject {
  const schema = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.monitoring.coreos.com` },
    spec: {
      group: 'monitoring.coreos.com',
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase(), listKind: `${kind}List` },
      versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: schema } }],
    },
  };
  return definition;
}

export const monitoringDefinitions: readonly KubeObject[] = [
  definitionOf('ServiceMonitor', 'servicemonitors'),
  definitionOf('PrometheusRule', 'prometheusrules'),
];
