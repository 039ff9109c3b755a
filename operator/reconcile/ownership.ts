/**
 * Whose an object with the name of a child is, by the conventions of Kubernetes' own controllers: a controller
 * reference decides; without one, labels do. Pure.
 */
import { fieldManager, kind } from '../api/names.ts';
import type { KubeObject, ObjectMeta, OwnerReference } from '../kube/object.ts';
import { isAppliedBy } from '../kube/trim.ts';
import { persistentVolumeClaims } from '../resources/kinds.ts';
import { childLabels, isVolumeName, volumeLabels } from '../resources/names.ts';

/**
 * `ours`: the MailRelay is its controller, or it is a volume kept for it. `orphan`: nobody is, and it has every label
 * of a child. `predecessor`: an earlier MailRelay of the name is, so that the garbage collector is coming for it.
 */
export type Whose = 'ours' | 'orphan' | 'predecessor' | 'foreign';

/** What is needed to know the children of a MailRelay. */
export type Identity = Readonly<Pick<ObjectMeta, 'name' | 'uid'>>;

export function whose(relay: Identity, object: KubeObject): Whose {
  const { metadata, kind: objectKind } = object;
  const owner = controllerOf(object);
  if (owner !== undefined) {
    if (owner.uid === relay.uid) return 'ours';
    return owner.kind === kind && owner.name === relay.name ? 'predecessor' : 'foreign';
  }
  if (objectKind === persistentVolumeClaims.kind) return isKeptVolume(relay, metadata) ? 'ours' : 'foreign';
  const wanted = Object.entries(childLabels(relay));
  return wanted.every(([name, value]) => metadata.labels?.[name] === value) ? 'orphan' : 'foreign';
}

/** It is this MailRelay's, or may become so. */
export function isOursToTake(relay: Identity, object: KubeObject): boolean {
  return ['ours', 'orphan'].includes(whose(relay, object));
}

/** The same of a workload: one with all our labels that somebody has copied has nothing to do with our mail. */
export function isOwnWorkload(relay: Identity, object: KubeObject): boolean {
  const is = whose(relay, object);
  return is === 'ours' || (is === 'orphan' && isWrittenByUs(object));
}

/** A workload that is neither ours nor an earlier MailRelay's: its pods are none of ours, whatever labels they have. */
export function isTheirs(relay: Identity, workload: KubeObject): boolean {
  return !isOwnWorkload(relay, workload) && whose(relay, workload) !== 'predecessor';
}

/** A copy has our labels and another manager. To be asked of a workload, or of what no cache has trimmed. */
export function isWrittenByUs(object: KubeObject): boolean {
  return isAppliedBy(fieldManager, object);
}

/** A claim has no owner before its MailRelay goes, so that nothing takes the mail on it away. */
function isKeptVolume(relay: Identity, { name, labels: has }: ObjectMeta): boolean {
  if (!isVolumeName(relay, name)) return false;
  return Object.entries(volumeLabels(relay)).every(([label, value]) => has?.[label] === value);
}

export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}
