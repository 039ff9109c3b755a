/** MailRelays as people write them, for tests: from the least that works to one that says everything. */
import assert from 'node:assert/strict';
import type { MailRelay, MailRelayObject } from '../../../operator/api/mail-relay.ts';
import { apiVersion, kind } from '../../../operator/api/names.ts';
import { parseMailRelay } from '../../../operator/api/parse.ts';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';

export const minimalSpec: MailRelaySpecInput = {
  forwardProviders: [
    { name: 'primary', host: 'smtp.example.com', port: 587, secretRef: { name: 'primary' } },
  ],
};

/** The source document's first example, its passwords moved to Secrets. */
export const threeProvidersSpec: MailRelaySpecInput = {
  forwardProviders: [
    {
      name: 'primary',
      host: 'smtp.primary.com',
      port: 587,
      ssl: false,
      priority: 0,
      secretRef: { name: 'primary-smtp' },
    },
    {
      name: 'backup',
      host: 'smtp.backup.com',
      port: 587,
      ssl: false,
      priority: 1,
      secretRef: { name: 'backup-smtp' },
    },
    {
      name: 'emergency',
      host: 'smtp.emergency.com',
      port: 465,
      ssl: true,
      priority: 2,
      secretRef: { name: 'emergency-smtp' },
    },
  ],
};

export const perReplicaSpec: MailRelaySpecInput = {
  ...minimalSpec,
  replicas: 3,
  spool: { mode: 'PerReplica', size: '5Gi', storageClassName: 'fast', retention: 'Delete' },
};

export const sharedSpec: MailRelaySpecInput = {
  ...minimalSpec,
  replicas: 4,
  spool: { mode: 'Shared', accessMode: 'ReadWriteMany', storageClassName: 'nfs' },
};

/** Every field, each with another value than its default where it has one. */
export const everythingSpec: MailRelaySpecInput = {
  forwardSMTP: true,
  forwardProviders: [
    {
      name: 'ses',
      host: 'email-smtp.us-east-1.amazonaws.com',
      port: 587,
      ssl: false,
      priority: 10,
      secretRef: { name: 'smtp-logins', usernameKey: 'ses-user', passwordKey: 'ses-password' },
      tls: {
        serverName: 'email-smtp.amazonaws.com',
        insecureSkipVerify: false,
        minVersion: 'TLSv1.3',
        caRef: { name: 'company-ca', key: 'bundle.pem' },
      },
      limits: {
        maxConnections: 5,
        messagesPerSecond: 13.5,
        maxRecipientsPerMessage: 50,
        maxMessageBytes: 41_943_040,
        messagesPerConnection: 100,
        connectionLifetimeSeconds: 300,
        idleTimeoutSeconds: 10,
      },
      timeouts: {
        connectSeconds: 3,
        greetingSeconds: 20,
        commandSeconds: 120,
        dataBlockSeconds: 90,
        finalDotSeconds: 900,
      },
    },
    {
      name: 'aliyun',
      host: 'smtp.qiye.aliyun.com',
      port: 465,
      ssl: true,
      priority: 5,
      secretRef: { name: 'smtp-logins', usernameKey: 'aliyun-user', passwordKey: 'aliyun-password' },
    },
    { name: 'lan', host: '10.0.0.25', port: 25, tls: { required: true, insecureSkipVerify: true } },
  ],
  retry: { attempts: 2, initialDelayMilliseconds: 500, multiplier: 3, patienceSeconds: 10 },
  resend: {
    initialDelaySeconds: 30,
    maxDelaySeconds: 1800,
    multiplier: 1.5,
    jitter: 0.1,
    expireAfterSeconds: 172_800,
    deadRetentionSeconds: 604_800,
    deadMaxMessages: 1000,
    deadMaxBytes: 104_857_600,
    bounces: true,
  },
  listener: {
    hostname: 'mail.example.com',
    maxMessageBytes: 26_214_400,
    maxRecipients: 200,
    maxConnections: 500,
    maxConnectionsPerClient: 50,
    allowedNetworks: ['10.0.0.0/8', '203.0.113.7', 'fd00::/8'],
    bareNewlines: 'Normalize',
    idleTimeoutSeconds: 60,
    dataTimeoutSeconds: 300,
    maxReceivedHeaders: 30,
    tls: { secretRef: { name: 'mail-tls' } },
    auth: {
      required: true,
      allowClearText: false,
      secretRef: { name: 'smtp-clients', usernameKey: 'user', passwordKey: 'pass' },
    },
  },
  service: {
    type: 'LoadBalancer',
    externalTrafficPolicy: 'Local',
    annotations: { 'external-dns.alpha.kubernetes.io/hostname': 'mail.example.com' },
    ports: [
      { name: 'smtp', port: 25, nodePort: 30025 },
      { name: 'submission', port: 587 },
      { name: 'alt', port: 2525 },
    ],
  },
  spool: {
    mode: 'PerReplica',
    size: '20Gi',
    storageClassName: 'fast-ssd',
    accessMode: 'ReadWriteOncePod',
    retention: 'Delete',
    drainTimeoutSeconds: 1200,
  },
  replicas: 2,
  networkPolicy: {
    enabled: true,
    from: [
      {
        namespaceSelector: { matchLabels: { team: 'shop' } },
        podSelector: {
          matchExpressions: [{ key: 'app', operator: 'In', values: ['web', 'worker'] }],
        },
      },
      { ipBlock: { cidr: '192.0.2.0/24', except: ['192.0.2.128/25'] } },
    ],
    metricsFrom: [{ podSelector: { matchLabels: { app: 'prometheus' } } }],
  },
  monitoring: {
    serviceMonitor: { enabled: true, labels: { release: 'prometheus' }, intervalSeconds: 15 },
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
  },
  image: 'registry.example.com/mail/relay:1.2.3',
  imagePullPolicy: 'Always',
  imagePullSecrets: [{ name: 'registry' }],
  resources: { requests: { cpu: '250m', memory: '256Mi' }, limits: { cpu: 2, memory: '1Gi' } },
  nodeSelector: { 'kubernetes.io/os': 'linux' },
  tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'mail', effect: 'NoSchedule' }],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'disk', operator: 'In', values: ['ssd'] }] }],
      },
    },
  },
  topologySpreadConstraints: [
    { topologyKey: 'kubernetes.io/hostname', whenUnsatisfiable: 'DoNotSchedule', maxSkew: 2, minDomains: 2 },
  ],
  priorityClassName: 'important',
  podLabels: { 'cost-center': 'mail' },
  podAnnotations: { 'example.com/note': 'relay' },
  suspend: false,
};

export const specs: Readonly<Record<string, MailRelaySpecInput>> = {
  minimal: minimalSpec,
  'three-providers': threeProvidersSpec,
  everything: everythingSpec,
  'per-replica': perReplicaSpec,
  'shared-many': sharedSpec,
};

/** The object as it would be sent to the API server. */
export function mailRelayObject(spec: unknown, metadata: object = {}): MailRelayObject {
  return { apiVersion, kind, metadata: { name: 'mail', namespace: 'apps', ...metadata }, spec };
}

/** The checked relay. Fails the test when there are problems. */
export function relayOf(spec: MailRelaySpecInput, metadata: object = {}): MailRelay {
  const uid = '5f0c7c0e-2b5b-4f4e-9d7a-0d5a5e0c1b11';
  const parsed = parseMailRelay(mailRelayObject(spec, { uid, generation: 1, ...metadata }));
  assert.deepEqual(parsed.problems, undefined);
  return parsed.relay!;
}
