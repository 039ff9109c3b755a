/**
 * A MailRelay object → a checked MailRelay with every default, or all its
 * problems in words. The API server has checked most of this; here it is
 * checked again, since objects may be older than a rule, together with what
 * the CRD cannot express. Pure; throws nothing.
 */
import * as z from 'zod';
import { isTooWide, withPrefix } from '../../relay/config/networks.ts';
import { problemsOf } from '../../relay/config/problems.ts';
import { parseQuantity } from '../kube/quantity.ts';
import type { MailRelay, MailRelayObject } from './mail-relay.ts';
import { maxNameLength } from './names.ts';
import { type MailRelaySpec, specSchema } from './schema.ts';
import { minimumSpoolSize } from './schema-spool.ts';

export type ParsedMailRelay =
  | { readonly relay: MailRelay; readonly problems?: undefined }
  | { readonly relay?: undefined; readonly problems: readonly string[] };

const documentSchema = z.object({ spec: specSchema });

/**
 * Problems are sentences "spec.field: … must be …", all of them at once. Keys that it does not know are left alone:
 * the API server removes those of nobody, so that they are fields of a newer CRD, whose defaults every object has.
 */
export function parseMailRelay(object: MailRelayObject): ParsedMailRelay {
  const document = { spec: object.spec ?? {} };
  const parsed = parsedKnown(document);
  if (!parsed.success) {
    return { problems: [...nameProblems(object), ...problemsOf(documentSchema, document, parsed.error)] };
  }
  const { spec } = parsed.data;
  const problems = [...nameProblems(object), ...crossProblems(spec)];
  return problems.length > 0 ? { problems } : { relay: withSpec(object, spec) };
}

function parsedKnown(document: { readonly spec: unknown }): ReturnType<typeof documentSchema.safeParse> {
  const parsed = documentSchema.safeParse(document);
  const unknown = (parsed.error?.issues ?? []).filter(({ code }) => code === 'unrecognized_keys');
  if (unknown.length === 0) return parsed;
  const known = structuredClone(document);
  for (const { path, keys } of unknown as readonly z.core.$ZodIssueUnrecognizedKeys[]) {
    const holder = path.reduce<unknown>(
      (value, step) => (value as Record<PropertyKey, unknown>)[step],
      known,
    );
    for (const key of keys) Reflect.deleteProperty(holder as object, key);
  }
  return documentSchema.safeParse(known);
}

/** The object with a spec that is known to be right. */
export function withSpec({ metadata, status }: MailRelayObject, spec: MailRelaySpec): MailRelay {
  const { name, namespace = 'default', uid = '', generation = 0 } = metadata;
  const { creationTimestamp, deletionTimestamp } = metadata;
  return {
    name,
    namespace,
    uid,
    generation,
    annotations: metadata.annotations ?? {},
    finalizers: metadata.finalizers ?? [],
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(deletionTimestamp !== undefined && { deletionTimestamp }),
    spec,
    status: status ?? {},
  };
}

function nameProblems({ metadata: { name } }: MailRelayObject): string[] {
  if (name.length <= maxNameLength && /^[a-z](?:[-a-z0-9]*[a-z0-9])?$/.test(name)) return [];
  return [
    `metadata.name: ${JSON.stringify(name)} must be at most ${maxNameLength} lower-case letters, digits and -, beginning with a letter and not ending with -`,
  ];
}

function crossProblems(spec: MailRelaySpec): string[] {
  return [
    ...providerProblems(spec),
    ...resendProblems(spec),
    ...listenerProblems(spec),
    ...spoolProblems(spec),
    ...serviceProblems(spec),
  ];
}

function providerProblems({ forwardSMTP, forwardProviders }: MailRelaySpec): string[] {
  const problems: string[] = [];
  if (forwardSMTP && forwardProviders.length === 0) {
    problems.push('spec.forwardProviders: must list at least one provider, or forwardSMTP must be false');
  }
  const seen = new Set<string>();
  for (const [index, { name, ssl, tls, secretRef }] of forwardProviders.entries()) {
    const path = `spec.forwardProviders[${index}]`;
    if (seen.has(name)) problems.push(`${path}.name: ${JSON.stringify(name)} must be unique`);
    seen.add(name);
    if (secretRef !== undefined) problems.push(...keyProblems(secretRef, `${path}.secretRef`));
    if (secretRef !== undefined && !ssl && tls.required === false) {
      problems.push(
        `${path}.tls.required: must not be false where there is a secretRef: credentials are sent over verified TLS only`,
      );
    }
  }
  return problems;
}

function keyProblems(ref: { usernameKey: string; passwordKey: string }, path: string): string[] {
  return ref.usernameKey === ref.passwordKey ? [`${path}.passwordKey: must differ from usernameKey`] : [];
}

function resendProblems({ resend }: MailRelaySpec): string[] {
  if (resend.maxDelaySeconds >= resend.initialDelaySeconds) return [];
  return [
    `spec.resend.maxDelaySeconds: ${resend.maxDelaySeconds} must be at least resend.initialDelaySeconds, which is ${resend.initialDelaySeconds}`,
  ];
}

function listenerProblems({ listener }: MailRelaySpec): string[] {
  const { auth, tls, allowedNetworks } = listener;
  const problems: string[] = [];
  if (auth.secretRef !== undefined)
    problems.push(...keyProblems(auth.secretRef, 'spec.listener.auth.secretRef'));
  if (!auth.required) {
    const wide = allowedNetworks.filter(network => isTooWide(withPrefix(network)));
    return [
      ...problems,
      ...wide.map(
        network =>
          `spec.listener.allowedNetworks: ${JSON.stringify(network)} must be /8 or narrower (IPv4) or /16 or narrower (IPv6), unless listener.auth.required is true: this would be an open relay`,
      ),
    ];
  }
  if (auth.secretRef === undefined) {
    problems.push('spec.listener.auth: must name a Secret in auth.secretRef, since auth.required is true');
  }
  if (tls === undefined && !auth.allowClearText) {
    problems.push(
      'spec.listener.auth.required: must have tls, since auth.required is true and AUTH is offered only under TLS (or auth.allowClearText must be true)',
    );
  }
  return problems;
}

function spoolProblems({ spool, replicas }: MailRelaySpec): string[] {
  const problems: string[] = [];
  const size = parseQuantity(String(spool.size));
  if (size === undefined || size < parseQuantity(minimumSpoolSize)!) {
    problems.push(`spec.spool.size: ${spool.size} must be at least ${minimumSpoolSize}`);
  }
  if (spool.mode === 'Shared' && spool.accessMode !== 'ReadWriteMany' && replicas > 1) {
    problems.push(
      `spec.replicas: ${replicas} must be 0 or 1 while spool.mode is Shared and spool.accessMode is not ReadWriteMany; for more use spool.mode PerReplica or spool.accessMode ReadWriteMany`,
    );
  }
  return problems;
}

function serviceProblems({ service }: MailRelaySpec): string[] {
  const ports = service.ports.map(({ port }) => port);
  const names = service.ports.map(({ name }) => name);
  const problems: string[] = [];
  if (new Set(ports).size < ports.length)
    problems.push('spec.service.ports: must not have the same port twice');
  if (new Set(names).size < names.length)
    problems.push('spec.service.ports: must not have the same name twice');
  return problems;
}
