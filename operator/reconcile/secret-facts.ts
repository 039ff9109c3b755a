/**
 * What the operator knows of the Secrets that relays refer to: which keys have
 * content, and when it changed. The watch brings metadata alone; content is
 * fetched once per change, whoever asks, and remembered only as fingerprints
 * under a random key of this process, so that an edit of labels or annotations
 * is no change. No value is ever kept, and nothing made of one leaves the process.
 * A Secret that no MailRelay refers to any more is forgotten.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { MailRelayObject } from '../api/mail-relay.ts';
import type { Clock } from '../kube/clock.ts';
import type { Informer } from '../kube/informer.ts';
import { isOlder, type KubeObject, keyOf, type ObjectRef } from '../kube/object.ts';
import { defineResource, type KubeClient } from '../kube/resource.ts';
import type { ObjectEvent } from '../kube/view.ts';
import { mentionedSecretKeys } from '../resources/secret-references.ts';

export type Secret = KubeObject & {
  readonly type?: string;
  readonly data?: Readonly<Record<string, string>>;
};

export const secrets = defineResource<Secret>({
  apiVersion: 'v1',
  kind: 'Secret',
  plural: 'secrets',
  namespaced: true,
});

/** One key of a Secret without its value. */
export interface KeyFacts {
  /** Of its content; undefined while it is missing, empty or blank. */
  readonly fingerprint: string | undefined;
  /** Another one whenever the content is. The same after a restart, unless metadata was edited meanwhile. Tells nothing of the content. */
  readonly version: string;
  /** When its content changed last, ms since 1970, to the second; -Infinity = not known. */
  readonly changedAt: number;
}

/** A Secret without its values. */
export interface SecretFacts {
  readonly exists: boolean;
  readonly resourceVersion: string;
  /** Keys that are there, or were a while ago. */
  readonly keys: ReadonlyMap<string, KeyFacts>;
}

export interface SecretFactsDeps {
  readonly client: Pick<KubeClient, 'find'>;
  /** Metadata only. */
  readonly informer: Pick<Informer<KubeObject>, 'get'>;
  /** With an index `secret`: those that refer to a Secret, by the Secret's key. */
  readonly relays: Pick<Informer<MailRelayObject>, 'keysByIndex' | 'subscribe'>;
  readonly clock: Pick<Clock, 'wallTime'>;
}

const noKeys: SecretFacts['keys'] = new Map();
/** Every pod has heard by then that a key is gone. */
const goneKeyKeptMs = 3_600_000;

export class SecretFactsCache {
  readonly #deps: SecretFactsDeps;
  readonly #salt = randomBytes(32);
  readonly #known = new Map<string, SecretFacts>();
  readonly #fetching = new Map<string, Promise<SecretFacts>>();

  /** For the life of the process: subscribes to the MailRelays. */
  constructor(deps: SecretFactsDeps) {
    this.#deps = deps;
    deps.relays.subscribe(event => this.#forgetUnreferenced(event));
  }

  /** The facts as of the newest version that the watch has shown, or a later one. Throws ApiError. */
  async of(ref: ObjectRef): Promise<SecretFacts> {
    const key = keyOf(ref);
    for (;;) {
      const version = this.#deps.informer.get(ref)?.metadata.resourceVersion;
      if (version === undefined) return this.#gone(key);
      const known = this.#known.get(key);
      // The watch may still show an older version than the one that was read.
      if (known?.resourceVersion === version || isOlder(version, known?.resourceVersion)) return known!;
      const fetched = await this.#fetch(key, ref);
      // A read that was under way when the Secret changed again may have brought what was before.
      if (!isOlder(fetched.resourceVersion, this.#deps.informer.get(ref)?.metadata.resourceVersion)) {
        return fetched;
      }
    }
  }

  /** One request, however many relays share the Secret. */
  #fetch(key: string, ref: ObjectRef): Promise<SecretFacts> {
    const running = this.#fetching.get(key);
    if (running !== undefined) return running;
    const fetching = this.#read(key, ref).finally(() => this.#fetching.delete(key));
    this.#fetching.set(key, fetching);
    return fetching;
  }

  async #read(key: string, ref: ObjectRef): Promise<SecretFacts> {
    const secret = await this.#deps.client.find(secrets, ref);
    if (secret === undefined) return this.#gone(key);
    const before = this.#known.get(key);
    const { resourceVersion = '' } = secret.metadata;
    const keys = new Map<string, KeyFacts>();
    for (const name of new Set([...this.#remembered(before).keys(), ...Object.keys(secret.data ?? {})])) {
      const fingerprint = this.#fingerprint(secret.data?.[name]);
      const was = before?.keys.get(name);
      if (was !== undefined && was.fingerprint === fingerprint) keys.set(name, was);
      else keys.set(name, this.#changed({ secret, name, fingerprint }, before));
    }
    return this.#keep(key, { exists: true, resourceVersion, keys });
  }

  /** `before` undefined: the first look of this process, which cannot know what was; the API server does. */
  #changed({ secret, name, fingerprint }: Content, before: SecretFacts | undefined): KeyFacts {
    const { managedFields, resourceVersion = '' } = secret.metadata;
    const told = lastChange(managedFields ?? [], name);
    const was = before?.keys.get(name)?.version;
    const version = told === undefined || told === was ? resourceVersion : told;
    const changedAt = before === undefined ? timeOf(told) : this.#deps.clock.wallTime();
    return { fingerprint, version, changedAt };
  }

  #fingerprint(value: string | undefined): string | undefined {
    const content = Buffer.from(value ?? '', 'base64');
    if (content.toString('latin1').trim() === '') return undefined;
    return createHmac('sha256', this.#salt).update(content).digest('hex').slice(0, 16);
  }

  #gone(key: string): SecretFacts {
    const before = this.#known.get(key);
    if (before?.exists === false) return before;
    const changedAt = this.#deps.clock.wallTime();
    const keys = new Map<string, KeyFacts>();
    for (const [name, was] of this.#remembered(before)) {
      const isGone = was.fingerprint === undefined;
      keys.set(name, isGone ? was : { fingerprint: undefined, version: '', changedAt });
    }
    return this.#keep(key, { exists: false, resourceVersion: '', keys });
  }

  /** Without the keys that went so long ago that nobody has to be told. */
  #remembered(before: SecretFacts | undefined): SecretFacts['keys'] {
    const since = this.#deps.clock.wallTime() - goneKeyKeptMs;
    const keys = [...(before?.keys ?? noKeys)];
    return new Map(keys.filter(([, was]) => was.fingerprint !== undefined || was.changedAt >= since));
  }

  /** The last reference may have gone while it was being read. */
  #keep(key: string, facts: SecretFacts): SecretFacts {
    if (this.#isReferenced(key)) this.#known.set(key, facts);
    return facts;
  }

  #forgetUnreferenced(event: ObjectEvent<MailRelayObject>): void {
    const former = event.type === 'updated' ? event.previous : event.object;
    for (const key of mentionedSecretKeys(former)) {
      if (this.#known.has(key) && !this.#isReferenced(key)) this.#known.delete(key);
    }
  }

  #isReferenced(key: string): boolean {
    return this.#deps.relays.keysByIndex('secret', key).length > 0;
  }
}

interface Content {
  readonly secret: Secret;
  readonly name: string;
  readonly fingerprint: string | undefined;
}

/** When a manager that owns the key changed something of the Secret last, as the API server wrote it. */
function lastChange(managedFields: readonly unknown[], name: string): string | undefined {
  const owners = managedFields as readonly {
    readonly time?: string;
    readonly fieldsV1?: { readonly 'f:data'?: Readonly<Record<string, unknown>> };
  }[];
  const times = owners.flatMap(({ time, fieldsV1 }) =>
    time !== undefined && fieldsV1?.['f:data']?.[`f:${name}`] !== undefined ? [time] : [],
  );
  return times.sort().at(-1);
}

function timeOf(time: string | undefined): number {
  const at = Date.parse(time ?? '');
  return Number.isNaN(at) ? Number.NEGATIVE_INFINITY : at;
}
