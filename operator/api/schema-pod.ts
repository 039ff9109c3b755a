/**
 * What of a pod a MailRelay lets you say. A change of any of these restarts
 * pods, gracefully. Deep types of the core API are either the bounded part
 * that makes sense here, or (affinity) passed on for the API server to check.
 */
import * as z from 'zod';
import { choice, matching, whole } from '../../relay/config/schema-fields.ts';
import {
  annotationMap,
  atomicList,
  labelKey,
  labelMap,
  labelValue,
  listMap,
  mapOf,
  objectName,
  passedOn,
  quantity,
  withRules,
} from './fields.ts';

const ours =
  "['name', 'instance', 'component', 'managed-by', 'part-of'].exists(n, k == 'app.kubernetes.io/' + n)";

const tolerationSchema = withRules(
  z
    .strictObject({
      key: labelKey('The taint. Absent, with operator Exists: every taint.').optional(),
      operator: choice(['Exists', 'Equal'], 'How it is compared.').default('Equal'),
      value: labelValue('The value of the taint; for Equal only.').optional(),
      effect: choice(['NoSchedule', 'PreferNoSchedule', 'NoExecute'], 'Absent: every effect.').optional(),
      tolerationSeconds: whole(0, 31_536_000, 'For NoExecute: how long the pod stays.').optional(),
    })
    .describe('One taint that the pods put up with.'),
  [
    {
      rule: "self.operator != 'Exists' || !has(self.value)",
      message: 'must be absent with operator Exists',
      fieldPath: '.value',
    },
    {
      rule: "has(self.key) || self.operator == 'Exists'",
      message: 'must be Exists where no key is given',
      fieldPath: '.operator',
    },
    {
      rule: "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
      message: 'must be absent unless effect is NoExecute',
      fieldPath: '.tolerationSeconds',
    },
  ],
);

const spreadSchema = withRules(
  z
    .strictObject({
      maxSkew: whole(1, 100, 'How many more pods one domain may have than another.').default(1),
      topologyKey: labelKey('The label of nodes that makes the domains.'),
      whenUnsatisfiable: choice(['DoNotSchedule', 'ScheduleAnyway'], 'What happens when it cannot be kept.'),
      minDomains: whole(1, 100, 'How many domains there must be; with DoNotSchedule only.').optional(),
      nodeAffinityPolicy: choice(['Honor', 'Ignore'], 'Whether nodes excluded by affinity count.').optional(),
      nodeTaintsPolicy: choice(['Honor', 'Ignore'], 'Whether nodes excluded by taints count.').optional(),
    })
    .describe('One rule; it always counts the pods of this MailRelay.'),
  [
    {
      rule: "!has(self.minDomains) || self.whenUnsatisfiable == 'DoNotSchedule'",
      message: 'must be absent unless whenUnsatisfiable is DoNotSchedule',
      fieldPath: '.minDomains',
    },
  ],
);

const amounts = (description: string) => mapOf(quantity('The amount.'), { max: 16, description }).optional();

const resourcesSchema = z
  .strictObject({
    requests: amounts('What a pod is guaranteed, such as {cpu: 100m, memory: 128Mi}.'),
    limits: amounts('What a pod may use at most, such as {memory: 512Mi}.'),
  })
  .describe('Compute resources of each pod.');

/** Enough for 1,000 messages a second; the relay's own memory stays below 300 MiB. */
export const defaultResources = {
  requests: { cpu: '100m', memory: '128Mi' },
  limits: { memory: '512Mi' },
};

/** The fields of spec that shape pods. */
export const podFields = {
  image: matching(
    /^[A-Za-z0-9][-A-Za-z0-9_.:/@]*$/,
    'the name of an image',
    'The image of the relay. Absent: the one that belongs to the operator.',
  )
    .max(512)
    .optional(),
  imagePullPolicy: choice(
    ['Always', 'IfNotPresent', 'Never'],
    'When the image is pulled. Absent: Always for the tag latest, otherwise IfNotPresent.',
  ).optional(),
  imagePullSecrets: listMap(z.strictObject({ name: objectName('The Secret.') }).describe('One Secret.'), {
    key: 'name',
    max: 16,
    description: 'Secrets for the registry, in the namespace of the MailRelay.',
  }).optional(),
  resources: resourcesSchema.default(defaultResources),
  nodeSelector: labelMap('Labels that a node must have.').optional(),
  tolerations: atomicList(tolerationSchema, {
    max: 32,
    description: 'Taints that the pods put up with.',
  }).optional(),
  affinity: passedOn(
    'Node and pod affinity, as in a pod (see `kubectl explain pod.spec.affinity`). Passed on as it is; a mistake in it shows as condition Stalled with reason Refused.',
  ).optional(),
  topologySpreadConstraints: withRules(
    atomicList(spreadSchema, {
      max: 8,
      description: 'How pods are spread. Absent: over zones and nodes, where possible.',
    }),
    [
      {
        rule: 'self.all(c, self.exists_one(d, d.topologyKey == c.topologyKey && d.whenUnsatisfiable == c.whenUnsatisfiable))',
        message: 'must not have the same topologyKey and whenUnsatisfiable twice',
      },
    ],
  ).optional(),
  priorityClassName: objectName('The PriorityClass of the pods.').optional(),
  podLabels: withRules(labelMap('Further labels of the pods.'), [
    {
      rule: `self.all(k, !k.startsWith('mailrelay.dev/') && !${ours})`,
      message:
        "must not have the operator's own labels (mailrelay.dev/…; app.kubernetes.io/name, instance, component, managed-by, part-of)",
    },
  ]).optional(),
  podAnnotations: annotationMap('Annotations of the pods.').optional(),
};
