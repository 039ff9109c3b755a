/** What only a person can mend about a child, in words that say what to do. Pure. */
import { labels } from '../api/names.ts';
import { ApiError, isRefusal } from '../kube/api-error.ts';
import type { KubeObject } from '../kube/object.ts';
import type { Child } from '../resources/children.ts';
import { persistentVolumeClaims } from '../resources/kinds.ts';
import { volumeLabels } from '../resources/names.ts';
import type { Obstacle } from './observation.ts';
import { controllerOf } from './ownership.ts';

/** Of a child as much as its obstacles speak of. */
type Subject = Pick<Child, 'resource' | 'podsNeed' | 'mailNeeds'>;

/** An object of somebody else has the child's name. `relay`: for whom it is looked at. */
export function nameTaken(
  relay: { readonly name: string },
  { resource: { kind }, podsNeed, mailNeeds }: Subject,
  object: KubeObject,
): Obstacle {
  const { name } = object.metadata;
  const owner = controllerOf(object);
  const other = object.metadata.labels?.[labels.instance];
  const isVolume = kind === persistentVolumeClaims.kind;
  const unowned =
    isVolume && other !== undefined && other !== relay.name
      ? `${labels.instance}=${other}`
      : 'nobody that this operator knows';
  const by = owner === undefined ? unowned : `${owner.kind} ${owner.name}`;
  const unused = podsNeed ? ', and no pod is started with it' : '';
  const texts = Object.entries(volumeLabels(relay)).map(([label, value]) => `${label}=${value}`);
  const mine = isVolume
    ? `, or label it ${texts.join(' ')} where it holds mail that this one is to send`
    : '';
  return {
    reason: 'NameTaken',
    mailNeeds,
    message: `${kind} ${name} exists and belongs to ${by}; it is left alone${unused}: delete it, or make the MailRelay under another name${mine}`,
  };
}

/** What the API server refuses for good is told; anything else is thrown again. */
export function refusalOf(
  error: unknown,
  { resource, name, mailNeeds }: Pick<Child, 'resource' | 'name' | 'mailNeeds'>,
): Obstacle {
  if (!(error instanceof ApiError && isRefusal(error))) throw error;
  const what = `${resource.kind} ${name}`;
  if (!/immutable|forbidden: updates to/i.test(error.message)) {
    return { reason: 'Refused', mailNeeds, message: `${what}: ${error.message}` };
  }
  const when = resource.kind === persistentVolumeClaims.kind ? ', once no mail is on it,' : '';
  const then = `it stays as it is; delete it${when} to have it made anew`;
  return { reason: 'ImmutableField', mailNeeds, message: `${what}: ${changesIn(error.message)}; ${then}` };
}

/** The API server's words, and of the comparison that may follow them only the lines that differ. */
function changesIn(message: string): string {
  const [first = '', ...lines] = message.split('\n');
  const changes = lines.filter(line => /^[-+]/.test(line)).map(line => line.replace(/^([-+])\s*/, '$1 '));
  return [first, ...changes].join(' ').trim();
}
