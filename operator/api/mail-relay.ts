/** The MailRelay object as the API server has it, and as the operator works with it. */

import type { KubeObject } from '../kube/object.ts';
import { defineResource, type Resource } from '../kube/resource.ts';
import { apiVersion, kind, plural } from './names.ts';
import type { MailRelaySpec } from './schema.ts';
import type { MailRelayStatus } from './schema-status.ts';

/** As it comes from the API. Its spec is not to be trusted before {@link parseMailRelay} (parse.ts) has seen it. */
export interface MailRelayObject extends KubeObject {
  spec?: unknown;
  status?: MailRelayStatus;
}

export const mailRelays: Resource<MailRelayObject> = defineResource<MailRelayObject>({
  apiVersion,
  kind,
  plural,
  namespaced: true,
});

/** A MailRelay that has been checked, with every default filled in: what builders and steps read. */
export interface MailRelay {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly generation: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly finalizers: readonly string[];
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  /** RFC 3339; present while it is being deleted. */
  readonly deletionTimestamp?: string;
  readonly spec: MailRelaySpec;
  /** As last written; empty for a new one. */
  readonly status: MailRelayStatus;
}
