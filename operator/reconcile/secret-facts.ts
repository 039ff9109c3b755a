/**
 * What the operator knows of the Secrets that relays refer to: which keys have
 * content, and whether the content changed. The watch brings metadata alone;
 * content is fetched once per change, whoever asks, and remembered only as
 * fingerprints under a random key of this process. No value is ever kept.
 */
import { createHmac, randomBytes } from 'node:crypto';
import type { Informer } from '../kube/informer.ts';
import { type KubeObject, keyOf, type ObjectRef } from '../kube/object.ts';
import { defineResource, type KubeClient } from '../kube/resource.ts';

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

/** A Secret without its values. */
export interface SecretFacts {
  readonly resourceVersion: string;
  /** Key → fingerprint of its content; keys that are empty or blank are not there. */
  readonly fingerprints: ReadonlyMap<string, string>;
}

export interface SecretFactsDeps {
  readonly client: Pick<KubeClient, 'find'>;
  /** Metadata only. */
  readonly informer: Pick<Informer<KubeObject>, 'get'>;
}

export class SecretFactsCache {
  readonly #deps: SecretFactsDeps;
  readonly #salt = randomBytes(32);
  readonly #known = new Map<string, SecretFacts>();
  readonly #fetching = new Map<string, Promise<SecretFacts | undefined>>();

  constructor(deps: SecretFactsDeps) {
    this.#deps = deps;
  }

  /** The facts as of the newest version that the watch has shown; undefined = there is no such Secret. Throws ApiError. */
  async of(ref: ObjectRef): Promise<SecretFacts | undefined> {
    const key = keyOf(ref);
    const metadata = this.#deps.informer.get(ref)?.metadata;
    if (metadata === undefined) {
      this.#known.delete(key);
      return undefined;
    }
    const known = this.#known.get(key);
    if (known?.resourceVersion === metadata.resourceVersion) return known;
    return this.#fetch(key, ref);
  }

  /** One request, however many relays share the Secret. */
  #fetch(key: string, ref: ObjectRef): Promise<SecretFacts | undefined> {
    const running = this.#fetching.get(key);
    if (running !== undefined) return running;
    const fetching = this.#read(key, ref).finally(() => this.#fetching.delete(key));
    this.#fetching.set(key, fetching);
    return fetching;
  }

  async #read(key: string, ref: ObjectRef): Promise<SecretFacts | undefined> {
    const secret = await this.#deps.client.find(secrets, ref);
    if (secret === undefined) return undefined;
    const fingerprints = new Map<string, string>();
    for (const [name, value] of Object.entries(secret.data ?? {})) {
      const content = Buffer.from(value, 'base64');
      if (content.toString('latin1').trim() === '') continue;
      fingerprints.set(name, createHmac('sha256', this.#salt).update(content).digest('hex').slice(0, 16));
    }
    const facts = { resourceVersion: secret.metadata.resourceVersion ?? '', fingerprints };
    this.#known.set(key, facts);
    return facts;
  }
}
