/** The kinds of the Prometheus operator that are written, as CRDs that take everything and merge as the real ones do. */
import type { KubeObject } from '../../operator/kube/object.ts';

const anything = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };

function definitionOf(kind: string, plural: string, fields: Readonly<Record<string, object>>): KubeObject {
  const schema = { type: 'object', properties: { spec: { ...anything, properties: fields } } };
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
  definitionOf('ServiceMonitor', 'servicemonitors', {
    selector: { ...anything, 'x-kubernetes-map-type': 'atomic' },
  }),
  definitionOf('PrometheusRule', 'prometheusrules', {
    groups: {
      type: 'array',
      items: { ...anything, properties: { name: { type: 'string' } }, required: ['name'] },
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
    },
  }),
];
