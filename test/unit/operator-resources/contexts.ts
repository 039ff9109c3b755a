/** Build contexts for tests, and how the children of a relay read as YAML. */
import { stringify } from 'yaml';
import type { MailRelay } from '../../../operator/api/mail-relay.ts';
import { children } from '../../../operator/resources/children.ts';
import type { BuildContext } from '../../../operator/resources/context.ts';

export const image = 'registry.example.com/mailrelay/relay:0.1.0';

export function contextOf(relay: MailRelay, more: Partial<BuildContext> = {}): BuildContext {
  return {
    image,
    operatorNamespace: 'mailrelay-system',
    monitoringNamespaces: ['monitoring'],
    runbooks: 'https://example.com/docs/runbooks',
    replicas: relay.spec.replicas,
    draining: [],
    ...more,
  };
}

/** All manifests of a relay, one document each, in the order in which they are made. */
export function childrenYaml(relay: MailRelay, context: BuildContext): string {
  return children(relay, context)
    .flatMap(({ manifest }) => manifest ?? [])
    .map(manifest => stringify(manifest, { lineWidth: 0, aliasDuplicateObjects: false }))
    .join('---\n');
}
