/** An admission policy by which nobody changes objects of a kind in a namespace. */
import type { KubeObject } from '../../operator/kube/object.ts';
import { defineResource, type Resource } from '../../operator/kube/resource.ts';
import { waitUntil } from '../kube/wait-until.ts';
import type { Rig } from './rig.ts';

const group = { apiVersion: 'admissionregistration.k8s.io/v1', namespaced: false };
const policies: Resource = defineResource({
  ...group,
  ...{ kind: 'ValidatingAdmissionPolicy', plural: 'validatingadmissionpolicies' },
});
const bindings: Resource = defineResource({
  ...group,
  ...{ kind: 'ValidatingAdmissionPolicyBinding', plural: 'validatingadmissionpolicybindings' },
});

/**
 * Resolves when `probe`, which is of that kind, can be changed no more; with what ends it. `free`: a CEL expression of
 * what may be changed all the same.
 */
export async function unchangeable(
  rig: Rig,
  resource: Resource,
  probe: { readonly namespace: string; readonly name: string },
  free = 'false',
): Promise<() => Promise<void>> {
  const { namespace } = probe;
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'] };
  await rig.client.create(policies, {
    metadata: { name: namespace },
    spec: {
      failurePolicy: 'Fail',
      matchConstraints: {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': namespace } },
        resourceRules: [{ ...rule, resources: [resource.plural] }],
      },
      validations: [{ expression: free, message: `${resource.plural} may not be changed here` }],
    },
  } as KubeObject);
  const { metadata } = await rig.client.create(bindings, {
    metadata: { name: namespace },
    spec: { policyName: namespace, validationActions: ['Deny'] },
  } as KubeObject);
  let tries = 0;
  const isOpen = (): Promise<boolean> => {
    const annotations = { 'example.com/try': String(++tries) };
    return rig.client.mergePatch(resource, probe, { metadata: { annotations } }).then(
      () => true,
      () => false,
    );
  };
  await waitUntil(`no ${resource.kind} can be changed`, async () => !(await isOpen()));
  return async () => {
    await rig.client.delete(bindings, metadata);
    await waitUntil(`each ${resource.kind} can be changed again`, isOpen);
  };
}
