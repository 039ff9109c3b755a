/**
 * Which change concerns which MailRelay: turns what the caches see into keys
 * of the work queue. A person's edit comes before everything else.
 */
import type { MailRelayObject } from './api/mail-relay.ts';
import type { Clock } from './kube/clock.ts';
import type { ObjectEvent } from './kube/informer.ts';
import { type KubeObject, keyOf } from './kube/object.ts';
import type { WorkQueue } from './kube/work-queue.ts';
import { type Caches, relayKeys } from './reconcile/caches.ts';

/** Subscribes to every cache; changes go to the queue from now on. Returns what ends it. */
export function connectTriggers(caches: Caches, queue: WorkQueue): () => void {
  const ends = [
    caches.view.subscribe(namespace => {
      for (const key of caches.relays.keys()) if (isIn(namespace, key)) queue.add(key, 'low');
    }),
    caches.relays.subscribe(event => {
      if (concernsUs(event)) queue.add(keyOf(event.object.metadata), event.type === 'added' ? 'low' : 'high');
    }),
    caches.secrets.subscribe(({ object }) => {
      for (const key of caches.relays.keysByIndex('secret', keyOf(object.metadata))) queue.add(key);
    }),
    ...caches.all
      .filter(cache => cache.resource.kind !== 'MailRelay' && cache.resource.kind !== 'Secret')
      .map(cache =>
        cache.subscribe(event => {
          for (const key of belongsTo(event)) if (caches.relays.has(key)) queue.add(key);
        }),
      ),
  ];
  return () => {
    for (const end of ends) end();
  };
}

function isIn(namespace: string | undefined, key: string): boolean {
  return namespace === undefined || key.startsWith(`${namespace}/`);
}

/** Also whose it was until somebody wrote another name on it. */
function belongsTo(event: ObjectEvent<KubeObject>): Set<string> {
  const before = event.type === 'updated' ? relayKeys(event.previous) : [];
  return new Set([...before, ...relayKeys(event.object)]);
}

/** Costs no request when all is well. */
const RESYNC_MS = 30 * 60_000;

/**
 * Every MailRelay now and every 30 minutes once more, after everything that somebody waits for: whatever was missed is
 * found then. Returns what ends it.
 */
export function resync(
  caches: { readonly relays: Pick<Caches['relays'], 'keys'> },
  queue: Pick<WorkQueue, 'add'>,
  clock: Pick<Clock, 'after'>,
): () => void {
  let cancel = (): void => undefined;
  const look = (): void => {
    for (const key of caches.relays.keys()) queue.add(key, 'low');
    cancel = clock.after(RESYNC_MS, look);
  };
  look();
  return () => cancel();
}

/** Our own status writes come back as updates; only what others say is news. */
function concernsUs(event: ObjectEvent<MailRelayObject>): boolean {
  if (event.type !== 'updated') return true;
  return fingerprint(event.previous) !== fingerprint(event.object);
}

function fingerprint({ metadata }: KubeObject): string {
  const { generation, annotations, labels, finalizers, deletionTimestamp } = metadata;
  return JSON.stringify([generation, annotations, labels, finalizers, deletionTimestamp]);
}
