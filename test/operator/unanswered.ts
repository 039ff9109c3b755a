/** Webhooks that are asked and never answer: the API server then refuses what they are asked about. */
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource, type Resource } from '../../operator/kube/resource.ts';

export const webhooks = defineResource<KubeObject>({
  apiVersion: 'admissionregistration.k8s.io/v1',
  kind: 'ValidatingWebhookConfiguration',
  plural: 'validatingwebhookconfigurations',
  namespaced: false,
});

/** What an admission controller that is down leaves behind. `plural` may be one of a subresource: `mailrelays/status`. */
export function unanswered(
  { apiVersion, plural }: Pick<Resource, 'apiVersion' | 'plural'>,
  namespace: string,
): KubeObject {
  const [version = '', apiGroup = ''] = apiVersion.split('/').reverse();
  const webhook = {
    name: `${plural.replace('/', '-')}.${namespace}.example.com`,
    admissionReviewVersions: ['v1'],
    sideEffects: 'None',
    failurePolicy: 'Fail',
    timeoutSeconds: 1,
    clientConfig: { url: 'https://127.0.0.1:1/' },
    namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
    rules: [
      {
        apiGroups: [apiGroup],
        apiVersions: [version],
        operations: ['CREATE', 'UPDATE'],
        resources: [plural],
      },
    ],
  };
  return { metadata: { name: `${namespace}.example.com` }, webhooks: [webhook] } as KubeObject;
}
