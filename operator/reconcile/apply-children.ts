/**
 * The children of one MailRelay: which it should have, and making it so. What
 * nobody owns any more and this operator wrote is adopted; an object that
 * belongs to somebody else is never touched, whatever its name. What cannot be
 * written is told as an obstacle and holds up nothing else.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { annotations } from '../api/names.ts';
import { isConflict } from '../kube/api-error.ts';
import { type Applier, NotLeaderError, needsApply } from '../kube/apply.ts';
import type { KubeObject } from '../kube/object.ts';
import type { KubeClient, Resource } from '../kube/resource.ts';
import { type Child, children } from '../resources/children.ts';
import type { BuildContext } from '../resources/context.ts';
import { configMaps } from '../resources/kinds.ts';
import { adoptable } from './adoption.ts';
import type { Caches } from './caches.ts';
import { type ChildFailure, failureOf } from './child-failure.ts';
import { giveLabelsBack } from './labels-back.ts';
import type { Obstacle } from './observation.ts';
import { nameTaken, refusalOf } from './obstacles.ts';
import { isOursToTake, isOwnWorkload, whose } from './ownership.ts';
import { TryAgainError } from './try-again.ts';

export interface ChildrenDeps {
  readonly caches: Caches;
  readonly client: KubeClient;
  readonly applier: Applier;
  readonly mayWrite: () => boolean;
}

/** What became of one child: at most one of both. */
interface Outcome {
  readonly child: Child;
  readonly obstacle?: Obstacle | undefined;
  readonly failure?: ChildFailure;
}

export interface Applied {
  /** What only a person can mend. */
  readonly obstacles: readonly Obstacle[];
  /** What may succeed when it is tried again. */
  readonly failures: readonly ChildFailure[];
  /** The ConfigMap is as it must be. */
  readonly configWritten: boolean;
  /** The workload is as it must be, or only a person can make it so. */
  readonly workloadSettled: boolean;
}

/** When the workload's turn has come. */
export interface WorkloadTurn {
  /** Its pods would mount what is not for them. */
  readonly withheld: boolean;
  /** What must be written before the workload may change. */
  readonly before: () => Promise<readonly ChildFailure[]>;
}

/**
 * Makes them so: all but the workload at once, then the workload unless something that its pods need failed or is
 * somebody else's: they would run with that. Throws NotLeaderError alone, and only when no write is under way any
 * more: then the lease may be given back.
 */
export async function applyChildren(
  relay: MailRelay,
  context: BuildContext,
  turn: WorkloadTurn,
  deps: ChildrenDeps,
): Promise<Applied> {
  const all = children(relay, context);
  const first = all.filter(child => !isWorkload(child));
  const outcomes = await Promise.all(first.map(child => tryOne(relay, child, deps)));
  throwIfStopped(outcomes);
  const isHeld = turn.withheld || outcomes.some(isAwaited);
  const unprepared = isHeld ? [] : await turn.before();
  const withheld = isHeld || unprepared.length > 0;
  for (const child of withheld ? [] : all.filter(isWorkload)) outcomes.push(await tryOne(relay, child, deps));
  throwIfStopped(outcomes);
  const failed = outcomes.filter(({ failure }) => failure !== undefined);
  const config = outcomes.find(({ child }) => child.resource.kind === configMaps.kind);
  return {
    obstacles: outcomes.flatMap(({ obstacle }) => obstacle ?? []),
    failures: [...unprepared, ...failed.flatMap(({ failure }) => failure ?? [])],
    configWritten: config !== undefined && config.obstacle === undefined && config.failure === undefined,
    workloadSettled: !withheld && !failed.some(({ child }) => isWorkload(child)),
  };
}

function throwIfStopped(outcomes: readonly Outcome[]): void {
  const stopped = outcomes.find(({ failure }) => failure?.error instanceof NotLeaderError);
  if (stopped !== undefined) throw stopped.failure?.error;
}

function isAwaited({ child, failure, obstacle }: Outcome): boolean {
  return child.podsNeed && (failure !== undefined || obstacle?.reason === 'NameTaken');
}

async function tryOne(relay: MailRelay, child: Child, deps: ChildrenDeps): Promise<Outcome> {
  try {
    return { child, obstacle: await applyOne(relay, child, deps) };
  } catch (error) {
    return { child, failure: failureOf(error, child) };
  }
}

/** `Deployment/mail` for each child that would be written now; nothing is. */
export function pendingChanges(
  relay: MailRelay,
  context: BuildContext,
  { caches }: Pick<ChildrenDeps, 'caches'>,
): string[] {
  return children(relay, context).flatMap(child => {
    const live = caches
      .of(child.resource, relay.namespace)
      ?.get({ name: child.name, namespace: relay.namespace });
    return differs(relay, child, live) ? [`${child.resource.kind}/${child.name}`] : [];
  });
}

function differs(relay: MailRelay, child: Child, live: KubeObject | undefined): boolean {
  const { manifest, optionalKind } = child;
  const mayTake = isWorkload(child) ? isOwnWorkload : isOursToTake;
  if (manifest === undefined) return live !== undefined && mayTake(relay, live);
  if (live === undefined) return !optionalKind;
  return needsApply(manifest, live, annotations.appliedHash) !== undefined;
}

function isWorkload({ resource: { kind: childKind } }: Child): boolean {
  return childKind === 'Deployment' || childKind === 'StatefulSet';
}

async function applyOne(relay: MailRelay, child: Child, deps: ChildrenDeps): Promise<Obstacle | undefined> {
  try {
    return await makeSo(relay, child, deps);
  } catch (error) {
    return refusalOf(error, child);
  }
}

async function makeSo(relay: MailRelay, child: Child, deps: ChildrenDeps): Promise<Obstacle | undefined> {
  const { resource, name, manifest } = child;
  const cache = deps.caches.of(resource, relay.namespace);
  // The cluster does not serve this kind (ServiceMonitor without the Prometheus operator), or it may not be read.
  if (cache === undefined) return undefined;
  const ref = { name, namespace: relay.namespace };
  const cached = cache.get(ref);
  try {
    if (manifest === undefined) return await removeOurs(relay, child, cached, deps);
    const target = cached && (await targetOf(relay, resource, cached, deps.client));
    if (cached !== undefined && target === undefined) return nameTaken(relay, child, cached);
    await cache.whileWriting(ref, async () => {
      const { object, outcome } = await deps.applier.apply(resource, manifest, target?.live, target);
      if (outcome !== 'unchanged') cache.observe(object);
    });
    return undefined;
  } catch (error) {
    if (!isConflict(error)) throw error;
    return unexpected(relay, child, deps);
  }
}

/** What is written over, and whether only over that version of it. */
export interface Target {
  readonly live: KubeObject;
  readonly exactly: boolean;
}

/**
 * The object as the cache has it when it is ours, and as it is now when it is to become so; undefined: neither. Throws
 * TryAgainError while it is a predecessor's, or changes.
 */
export async function targetOf(
  relay: MailRelay,
  resource: Resource,
  cached: KubeObject,
  client: KubeClient,
): Promise<Target | undefined> {
  const is = whose(relay, cached);
  if (is === 'ours') return { live: cached, exactly: false };
  if (is === 'predecessor') throw new TryAgainError(stillGoing(resource, cached));
  const live = is === 'orphan' ? await adoptable(relay, resource, cached.metadata, client) : undefined;
  return live && { live, exactly: true };
}

async function removeOurs(
  relay: MailRelay,
  child: Child,
  cached: KubeObject | undefined,
  deps: ChildrenDeps,
): Promise<undefined> {
  if (cached === undefined || cached.metadata.deletionTimestamp !== undefined) return;
  const target = isOursToTake(relay, cached)
    ? await targetOf(relay, child.resource, cached, deps.client)
    : undefined;
  if (target !== undefined) await deps.applier.remove(child.resource, target.live, target);
}

/**
 * There is an object that the cache does not show, or not as it is now: it is somebody else's, it has lost its labels, or
 * the cache is behind.
 */
async function unexpected(relay: MailRelay, child: Child, deps: ChildrenDeps): Promise<Obstacle | undefined> {
  const { resource, name } = child;
  const live = await deps.client.find(resource, { name, namespace: relay.namespace });
  const is = live && whose(relay, live);
  if (live !== undefined && is === 'foreign') return nameTaken(relay, child, live);
  if (live !== undefined && is === 'predecessor') throw new TryAgainError(stillGoing(resource, live));
  if (live !== undefined) await giveLabelsBack(relay, resource, live, deps);
  throw new TryAgainError(`${resource.kind} ${name} has changed meanwhile`);
}

function stillGoing(resource: Resource, { metadata }: KubeObject): string {
  return `${resource.kind} ${metadata.name} of the MailRelay's predecessor is still going`;
}
