/** Volumes of a relay pod: configuration, Secrets, queue, scratch space; and where each is mounted. */
import type { V1Volume, V1VolumeMount } from '@kubernetes/client-node';
import type { MailRelay } from '../api/mail-relay.ts';
import type { MailRelaySpec } from '../api/schema.ts';
import type { Wire } from '../kube/object.ts';
import { dataDirectory } from './config-json.ts';
import { configKey } from './config-map.ts';
import { childNames, spoolVolume } from './names.ts';
import { referencedSecrets, secretReferences, secretsDirectory } from './secret-references.ts';

export type Volume = Wire<V1Volume>;
export type VolumeMount = Wire<V1VolumeMount>;

export const configDirectory = '/etc/mailrelay/config';
export const configFile: string = `${configDirectory}/${configKey}`;

/** Readable by owner and group: fsGroup makes the relay's group the owner's group. */
const groupReadable = 0o440;

/** Without the queue's volume where a volumeClaimTemplate brings it. */
export function volumes(relay: MailRelay): Volume[] {
  const names = childNames(relay);
  return [
    { name: 'config', configMap: { name: names.configMap, defaultMode: 0o444 } },
    ...(hasSecrets(relay.spec) ? [secretsVolume(relay.spec)] : []),
    ...(relay.spec.spool.mode === 'Shared'
      ? [{ name: spoolVolume, persistentVolumeClaim: { claimName: names.claim } }]
      : []),
    { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
  ];
}

export function volumeMounts(spec: MailRelaySpec): VolumeMount[] {
  return [
    { name: 'config', mountPath: configDirectory, readOnly: true },
    ...(hasSecrets(spec) ? [{ name: 'secrets', mountPath: secretsDirectory, readOnly: true }] : []),
    { name: spoolVolume, mountPath: dataDirectory },
    { name: 'tmp', mountPath: '/tmp' },
  ];
}

function hasSecrets(spec: MailRelaySpec): boolean {
  return referencedSecrets(spec).length > 0;
}

/**
 * One source per Secret, all optional: a missing Secret or key must not keep a pod from starting. Sorted, so that
 * the order of providers, which is changed live, does not change the pod.
 */
function secretsVolume(spec: MailRelaySpec): Volume {
  const references = secretReferences(spec);
  const sources = referencedSecrets(spec).map(name => ({
    secret: {
      name,
      optional: true,
      items: references
        .filter(({ secret }) => secret === name)
        .map(({ key, path }) => ({ key, path }))
        .sort((a, b) => (a.path < b.path ? -1 : 1)),
    },
  }));
  return { name: 'secrets', projected: { defaultMode: groupReadable, sources } };
}
