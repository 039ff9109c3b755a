/**
 * A MailRelay as it runs, whatever its spec says now: read off its workload,
 * its configuration and its claims. For a spec that cannot be followed, since
 * it is wrong or asks for other volumes than those with the mail on them: its
 * pods go on, are reported on, and drain like any others. Pure over caches.
 */
import * as z from 'zod';
import type { MailRelay, MailRelayObject } from '../api/mail-relay.ts';
import { withSpec } from '../api/parse.ts';
import { type MailRelaySpec, specSchema } from '../api/schema.ts';
import { providerSchema } from '../api/schema-provider.ts';
import { type SpoolSpec, spoolSchema } from '../api/schema-spool.ts';
import type { KubeObject } from '../kube/object.ts';
import { configKey } from '../resources/config-map.ts';
import { configMaps, deployments, statefulSets } from '../resources/kinds.ts';
import { childNames } from '../resources/names.ts';
import type { Caches } from './caches.ts';
import { isOursToTake, isOwnWorkload, whose } from './ownership.ts';
import { claimsOf } from './volumes.ts';

const { name, host, port, ssl, priority } = providerSchema.shape;
/** Of config.json what says which providers there are and in which order. */
const configInUse = z.object({
  forwardSMTP: z.boolean(),
  forwardProviders: z.array(z.object({ name, host, port, ssl, priority })),
});

/** What differs from what runs and can never be made so, as sentences "spec.field: … must be …". */
export function conflictsWithWhatRuns(relay: MailRelay, caches: Caches): string[] {
  const { mode, accessMode } = relay.spec.spool;
  const running = runningMode(relay, caches) ?? mode;
  if (running !== mode) {
    return [
      `spec.spool.mode: ${mode} must be ${running}, as it was created: the mail is on volumes of that mode`,
    ];
  }
  return claimsOf(relay, caches).flatMap(({ metadata, spec }) => {
    const has = spec?.accessModes ?? [accessMode];
    if (has.includes(accessMode)) return [];
    return [
      `spec.spool.accessMode: ${accessMode} must be ${has.join(' or ')}, as the volume ${metadata.name} has it, which may hold mail: make the MailRelay anew with that, or delete the claim to lose what is on it`,
    ];
  });
}

/** As far as it can be told, with defaults for the rest. To be read and drained, never to be applied. */
export function asItRuns(object: MailRelayObject, caches: Caches): MailRelay {
  const said = spoolAsSaid(object);
  const mode = runningMode(object.metadata, caches) ?? said.mode;
  const bare = withSpec(object, specSchema.parse({ spool: { ...said, mode } }));
  const accessMode = claimsOf(bare, caches)[0]?.spec?.accessModes?.[0];
  const providers = providersInUse(bare, caches);
  const spool = { ...bare.spec.spool, ...(isAccessMode(accessMode) && { accessMode }) };
  return { ...bare, spec: { ...bare.spec, ...providers, spool } };
}

/** Those fields of spec.spool that are right each by itself. */
function spoolAsSaid({ spec }: MailRelayObject): SpoolSpec {
  const fields = Object.entries((spec as { readonly spool?: object } | undefined)?.spool ?? {});
  const right = fields.filter(([name, value]) => spoolSchema.safeParse({ [name]: value }).success);
  return spoolSchema.parse(Object.fromEntries(right));
}

type Identity = Readonly<Pick<KubeObject['metadata'], 'name' | 'namespace' | 'uid'>>;

/** A workload that the MailRelay controls decides; without one an orphan of ours, whose volumes have mail like any others. */
function runningMode(relay: Identity, caches: Caches): SpoolSpec['mode'] | undefined {
  const { workload: name } = childNames(relay);
  const ref = { name, ...(relay.namespace !== undefined && { namespace: relay.namespace }) };
  const named = [
    { mode: 'PerReplica', live: caches.of(statefulSets, relay.namespace)?.get(ref) },
    { mode: 'Shared', live: caches.of(deployments, relay.namespace)?.get(ref) },
  ] as const;
  const own = named.filter(({ live }) => live !== undefined && isOwnWorkload(relay, live));
  const [running] = [...own.filter(({ live }) => live && whose(relay, live) === 'ours'), ...own];
  return running?.mode;
}

/** From the configuration that the pods have; only what reports need. */
function providersInUse(
  relay: MailRelay,
  caches: Caches,
): Partial<Pick<MailRelaySpec, 'forwardSMTP' | 'forwardProviders'>> {
  const ref = { name: childNames(relay).configMap, namespace: relay.namespace };
  const live = caches.of(configMaps, relay.namespace)?.get(ref);
  const text = live && isOursToTake(relay, live) ? live.data?.[configKey] : undefined;
  const inUse = configInUse.safeParse(parsedObject(text)).data;
  const spec = inUse && specSchema.safeParse(inUse).data;
  return spec === undefined ? {} : { forwardSMTP: spec.forwardSMTP, forwardProviders: spec.forwardProviders };
}

/** The JSON object in the text, if it is one. */
export function parsedObject(text: string | undefined): Record<string, unknown> | undefined {
  if (text === undefined) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

function isAccessMode(text: string | undefined): text is SpoolSpec['accessMode'] {
  return text !== undefined && spoolSchema.safeParse({ accessMode: text }).success;
}
