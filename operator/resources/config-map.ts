/** The ConfigMap with config.json. Changing it restarts nothing: relays load it live. */
import type { MailRelay } from '../api/mail-relay.ts';
import { configText } from './config-json.ts';
import type { BuildContext } from './context.ts';
import type { ConfigMap } from './kinds.ts';
import { childMetadata, childNames } from './names.ts';

export const configKey = 'config.json';

export function configMap(relay: MailRelay, context: BuildContext): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: childMetadata(relay, childNames(relay).configMap),
    data: { [configKey]: configText(relay, context) },
  };
}
