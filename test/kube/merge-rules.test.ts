import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type FieldPlace, isAtomicMap, listKeys } from '../../operator/kube/merge-rules.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { childResources } from '../../operator/reconcile/caches.ts';
import { type ApiServer, startApiServer } from '../cluster/api-server.ts';

/** An OpenAPI 3 schema as the API server publishes it, as far as it is read here. */
interface Schema {
  readonly $ref?: string;
  readonly allOf?: readonly Schema[];
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly 'x-kubernetes-list-type'?: 'atomic' | 'map' | 'set';
  readonly 'x-kubernetes-list-map-keys'?: readonly string[];
  readonly 'x-kubernetes-map-type'?: 'atomic' | 'granular';
  readonly 'x-kubernetes-group-version-kind'?: readonly { readonly kind: string }[];
}
type Schemas = Readonly<Record<string, Schema>>;

/** Each list and each map or struct of a kind that is not within something atomic, as `path: how it is merged`. */
class Walk {
  readonly published: string[] = [];
  readonly ours: string[] = [];
  readonly #kind: string;
  readonly #schemas: Schemas;

  constructor(kind: string, schemas: Schemas) {
    this.#kind = kind;
    this.#schemas = schemas;
    const top = Object.values(schemas).find(schema =>
      schema['x-kubernetes-group-version-kind']?.some(known => known.kind === kind),
    );
    const { properties: { status: _status, ...properties } = {} } = top ?? {};
    for (const [name, field] of Object.entries(properties)) this.#visit(field, [name]);
  }

  #visit(field: Schema, path: readonly string[]): void {
    const schema = this.#resolve(field);
    const place = { kind: this.#kind, path };
    if (schema.items !== undefined) this.#visitList(schema, schema.items, place);
    else if (schema.properties !== undefined || typeof schema.additionalProperties === 'object') {
      this.#visitMap(schema, place);
    }
  }

  #visitList(schema: Schema, items: Schema, place: FieldPlace): void {
    const type = schema['x-kubernetes-list-type'] ?? 'atomic';
    const keys = type === 'atomic' ? undefined : (schema['x-kubernetes-list-map-keys'] ?? []);
    this.#note(place, keys?.join() ?? 'atomic', listKeys(place)?.join() ?? 'atomic');
    if (keys !== undefined) this.#visit(items, [...place.path, '[key]']);
  }

  #visitMap(schema: Schema, place: FieldPlace): void {
    const isAtomic = schema['x-kubernetes-map-type'] === 'atomic';
    this.#note(place, isAtomic ? 'atomic' : 'granular', isAtomicMap(place) ? 'atomic' : 'granular');
    if (isAtomic) return;
    for (const [name, field] of Object.entries(schema.properties ?? {})) {
      this.#visit(field, [...place.path, name]);
    }
    const { additionalProperties } = schema;
    if (typeof additionalProperties === 'object') this.#visit(additionalProperties, [...place.path, 'key']);
  }

  #note({ path }: FieldPlace, published: string, ours: string): void {
    this.published.push(`${path.join('.')}: ${published}`);
    this.ours.push(`${path.join('.')}: ${ours}`);
  }

  /** What a field says itself goes before what its type says. */
  #resolve(field: Schema): Schema {
    const { $ref } = [field, ...(field.allOf ?? [])].find(schema => schema.$ref !== undefined) ?? {};
    return $ref === undefined ? field : { ...this.#schemas[$ref.split('/').pop()!], ...field };
  }
}

describe('what is known of how server-side apply merges', () => {
  let server: ApiServer;
  before(async () => {
    server = await startApiServer();
  });
  after(() => server?.stop());

  const ofTheServer = (childResources as readonly Resource[]).filter(
    ({ apiVersion }) => !apiVersion.startsWith('monitoring.coreos.com/'),
  );
  for (const { kind, apiVersion } of ofTheServer) {
    test(`is what the API server publishes of every field of a ${kind}`, async () => {
      const document = `/openapi/v3/${apiVersion.includes('/') ? 'apis' : 'api'}/${apiVersion}`;
      const { components } = JSON.parse(await server.kubectl(['get', '--raw', document])) as {
        readonly components: { readonly schemas: Schemas };
      };
      const { published, ours } = new Walk(kind, components.schemas);
      assert.ok(published.includes('metadata.ownerReferences: uid'));
      assert.deepEqual(ours, published);
    });
  }
});
