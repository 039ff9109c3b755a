/** The identity of relay pods: it has no rights and no token. */
import type { MailRelay } from '../api/mail-relay.ts';
import type { ServiceAccount } from './kinds.ts';
import { childMetadata, childNames } from './names.ts';

export function serviceAccount(relay: MailRelay): ServiceAccount {
  return {
    apiVersion: 'v1',
    kind: 'ServiceAccount',
    metadata: childMetadata(relay, childNames(relay).serviceAccount),
    automountServiceAccountToken: false,
  };
}
