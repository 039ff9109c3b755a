/**
 * The pod of a relay. Meets the restricted Pod Security Standard. Depends only
 * on fields whose change must restart pods; providers, limits, credentials and
 * all else in config.json is loaded live, so no checksum stands here.
 */
import type { V1Container, V1PodSpec, V1PodTemplateSpec, V1Probe } from '@kubernetes/client-node';
import type { MailRelay } from '../api/mail-relay.ts';
import type { MailRelaySpec } from '../api/schema.ts';
import type { Wire } from '../kube/object.ts';
import { healthPort, readiness, smtpPort, terminationGraceSeconds } from './config-json.ts';
import type { BuildContext } from './context.ts';
import { childLabels, childNames, selectorLabels } from './names.ts';
import { configFile, volumeMounts, volumes } from './volumes.ts';

export type PodTemplate = Wire<V1PodTemplateSpec>;
type PodSpec = Wire<V1PodSpec>;
type Probe = Wire<V1Probe>;

export const containerName = 'relay';

/** The user of the image: the unprivileged one of distroless images. */
const user = 65_532;

export function podTemplate(relay: MailRelay, context: BuildContext): PodTemplate {
  const { podLabels, podAnnotations } = relay.spec;
  return {
    metadata: {
      labels: { ...podLabels, ...childLabels(relay) },
      annotations: { ...podAnnotations, 'kubectl.kubernetes.io/default-container': containerName },
    },
    spec: {
      serviceAccountName: childNames(relay).serviceAccount,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: terminationGraceSeconds,
      securityContext: {
        runAsNonRoot: true,
        runAsUser: user,
        runAsGroup: user,
        fsGroup: user,
        fsGroupChangePolicy: 'OnRootMismatch',
        seccompProfile: { type: 'RuntimeDefault' },
      },
      containers: [container(relay.spec, context)],
      volumes: volumes(relay),
      topologySpreadConstraints: spread(relay),
      ...placement(relay.spec),
    },
  };
}

function container(spec: MailRelaySpec, { image }: BuildContext): Wire<V1Container> {
  return {
    name: containerName,
    image: spec.image ?? image,
    ...(spec.imagePullPolicy !== undefined && { imagePullPolicy: spec.imagePullPolicy }),
    command: ['mailrelay'],
    args: ['run', '--config', configFile],
    ports: [
      { name: 'smtp', containerPort: smtpPort, protocol: 'TCP' },
      { name: 'http', containerPort: healthPort, protocol: 'TCP' },
    ],
    ...probes(),
    resources: resources(spec),
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    },
    volumeMounts: volumeMounts(spec),
  };
}

/**
 * Startup may take long: a queue of a million messages is read and checked first (150 × 2 s). Liveness
 * is asked seldom, since only a store that can no longer be trusted is a reason to start anew.
 */
function probes(): Pick<Wire<V1Container>, 'startupProbe' | 'livenessProbe' | 'readinessProbe'> {
  const get = (path: string, timing: Partial<Probe>): Probe => ({
    httpGet: { path, port: 'http', scheme: 'HTTP' },
    timeoutSeconds: 5,
    ...timing,
  });
  return {
    startupProbe: get('/livez', { periodSeconds: 2, failureThreshold: 150 }),
    livenessProbe: get('/livez', { periodSeconds: 10, failureThreshold: 3 }),
    readinessProbe: get('/readyz', readiness),
  };
}

function resources({
  resources: { requests, limits },
}: MailRelaySpec): NonNullable<Wire<V1Container>['resources']> {
  const texts = (amounts: Record<string, string | number>) =>
    Object.fromEntries(Object.entries(amounts).map(([name, amount]) => [name, String(amount)]));
  return {
    ...(requests !== undefined && { requests: texts(requests) }),
    ...(limits !== undefined && { limits: texts(limits) }),
  };
}

/** Over zones and over nodes where nothing is said; never a reason not to start. */
function spread(relay: MailRelay): NonNullable<PodSpec['topologySpreadConstraints']> {
  const labelSelector = { matchLabels: selectorLabels(relay) };
  const wanted = relay.spec.topologySpreadConstraints ?? [
    { topologyKey: 'topology.kubernetes.io/zone', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 1 },
    { topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'ScheduleAnyway', maxSkew: 1 },
  ];
  return wanted.map(constraint => ({ ...present(constraint), labelSelector }));
}

function placement(spec: MailRelaySpec): Partial<PodSpec> {
  const { imagePullSecrets, nodeSelector, tolerations, affinity, priorityClassName } = spec;
  return present({
    imagePullSecrets,
    nodeSelector,
    tolerations: tolerations?.map(present),
    affinity: affinity as PodSpec['affinity'],
    priorityClassName,
  }) as Partial<PodSpec>;
}

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without what is undefined: an absent field must be absent. */
function present<T extends object>(value: T): Present<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Present<T>;
}
