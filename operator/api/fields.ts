/**
 * Makers of the fields that only the MailRelay has (config.json's are made in
 * relay/config). Whatever the API server must know beyond JSON Schema, CEL
 * rules and list types above all, goes with the field as zod metadata; crd.ts
 * turns it into the CRD.
 */
import * as z from 'zod';
import { allowedWords, matching } from '../../relay/config/schema-fields.ts';

/** A CEL rule and the sentence a person reads when it refuses, both as in x-kubernetes-validations. */
export interface Rule {
  readonly rule: string;
  readonly message: string;
  /** The field the refusal is reported at, relative to where the rule stands: `.replicas`. */
  readonly fieldPath?: string;
}

/** The same schema with CEL rules. A clone: config.json's own schemas stay as they are. */
export function withRules<T extends z.ZodType>(schema: T, rules: readonly Rule[]): T {
  return schema.meta({ ...schema.meta(), 'x-kubernetes-validations': rules });
}

/** A list whose items are told apart by a field, so that several managers can each own some. */
export function listMap<T extends z.ZodType>(item: T, options: ListOptions & { readonly key: string }) {
  return z
    .array(item)
    .max(options.max)
    .meta({
      description: options.description,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': [options.key],
    });
}

/** A list that is replaced as a whole. */
export function atomicList<T extends z.ZodType>(item: T, { max, description }: ListOptions) {
  return z.array(item).max(max).meta({ description, 'x-kubernetes-list-type': 'atomic' });
}

interface ListOptions {
  readonly max: number;
  readonly description: string;
}

/** A map of text to `value`, bounded. Keys are checked where it ends up: in a pod, a Service, a selector. */
export function mapOf<T extends z.ZodType>(value: T, { max, description }: ListOptions) {
  return z.record(z.string(), value).meta({ description, maxProperties: max });
}

/** A map of labels; values as labels may be. */
export function labelMap(description: string, max = 32) {
  return mapOf(labelValue('The value.'), { max, description });
}

/** A map of annotations, for what the operator writes. */
export function annotationMap(description: string) {
  return withRules(mapOf(z.string().max(4096), { max: 32, description }), [
    {
      rule: "self.all(k, !k.startsWith('mailrelay.dev/'))",
      message: "must not have the operator's own annotations (mailrelay.dev/…)",
    },
  ]);
}

export function labelValue(description: string) {
  return matching(
    /^(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$/,
    'at most 63 letters, digits, and - _ . between them',
    description,
  ).max(63);
}

/** A label or annotation key, with its optional prefix. */
export function labelKey(description: string) {
  return matching(
    /^(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?\/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/,
    'a label key such as "kubernetes.io/hostname"',
    description,
  ).max(317);
}

/** The name of an object in the same namespace: a DNS-1123 subdomain. */
export function objectName(description: string) {
  return matching(
    /^[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*$/,
    'the name of an object: lower-case letters, digits, - and .',
    description,
  ).max(253);
}

/** A key of a Secret's data. */
export function secretKey(description: string) {
  return matching(
    /^\.?[-_A-Za-z0-9][-._A-Za-z0-9]*$/,
    'the key of a Secret: letters, digits, - _ and ., not beginning with ..',
    description,
  ).max(253);
}

const quantityPattern = /^[0-9]{1,15}(?:\.[0-9]{1,9})?(?:[eE][0-9]{1,2}|m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/;

/** A Kubernetes quantity, as text or as a whole number. */
export function quantity(description: string) {
  return z
    .union([z.int().min(0), z.string().max(32).regex(quantityPattern)])
    .meta({ description, 'x-kubernetes-int-or-string': true, pattern: quantityPattern.source })
    .register(allowedWords, { allowed: 'a quantity such as "500m", "2" or "1Gi"' });
}

/** An object of the core API that is passed on as it is; the API server checks it where it ends up. */
export function passedOn(description: string) {
  return z
    .record(z.string(), z.unknown())
    .meta({ description, 'x-kubernetes-preserve-unknown-fields': true });
}
