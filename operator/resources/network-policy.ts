/**
 * Who may reach relay pods, and whom they may reach: in, SMTP from the allowed
 * and HTTP from monitoring and the operator; out, DNS and the providers'
 * ports. A second fence: the relay checks listener.allowedNetworks itself.
 */
import type {
  V1NetworkPolicyEgressRule,
  V1NetworkPolicyIngressRule,
  V1NetworkPolicyPeer,
} from '@kubernetes/client-node';
import { loopbackNetworks, withPrefix } from '../../relay/config/networks.ts';
import type { MailRelay } from '../api/mail-relay.ts';
import type { MailRelaySpec } from '../api/schema.ts';
import type { NetworkPolicySpec } from '../api/schema-network-policy.ts';
import type { Wire } from '../kube/object.ts';
import type { BuildContext } from './context.ts';
import type { NetworkPolicy } from './kinds.ts';
import { childMetadata, childNames, selectorLabels } from './names.ts';

type Peer = Wire<V1NetworkPolicyPeer>;
type Ingress = Wire<V1NetworkPolicyIngressRule>;
type Egress = Wire<V1NetworkPolicyEgressRule>;

export function networkPolicy(relay: MailRelay, context: BuildContext): NetworkPolicy | undefined {
  const { spec } = relay;
  if (!spec.networkPolicy.enabled) return undefined;
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: childMetadata(relay, childNames(relay).networkPolicy),
    spec: {
      podSelector: { matchLabels: selectorLabels(relay) },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [smtp(spec), http(spec, context)],
      egress: [dns, ...providers(spec)],
    },
  };
}

function smtp(spec: MailRelaySpec): Ingress {
  const ports = [{ port: 'smtp', protocol: 'TCP' }];
  const from = senders(spec);
  return from === undefined ? { ports } : { ports, from };
}

/**
 * Undefined: anybody. Pods are named by selector, since many network plug-ins do not match them by address, and
 * networks for everything else that may send. Loopback never crosses a network.
 */
function senders({ networkPolicy: { from }, listener }: MailRelaySpec): Peer[] | undefined {
  if (from !== undefined && from.length > 0) return peers(from);
  if (listener.auth.secretRef !== undefined) return undefined;
  const networks = listener.allowedNetworks
    .map(withPrefix)
    .filter(network => !loopbackNetworks.includes(network));
  return [{ namespaceSelector: {} }, ...networks.map(cidr => ({ ipBlock: { cidr } }))];
}

function http(spec: MailRelaySpec, { operatorNamespace, monitoringNamespaces }: BuildContext): Ingress {
  const namespaces = [...new Set([operatorNamespace, ...monitoringNamespaces])].sort();
  return {
    ports: [{ port: 'http', protocol: 'TCP' }],
    from: [
      ...namespaces.map(name => ({
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': name } },
      })),
      ...peers(spec.networkPolicy.metricsFrom ?? []),
    ],
  };
}

/** 5353 is where DNS pods listen behind port 53 on some platforms; policies see the port of the pod. */
const dns: Egress = {
  ports: [53, 5353].flatMap(port => [
    { port, protocol: 'UDP' },
    { port, protocol: 'TCP' },
  ]),
};

/** Ports only: the addresses of a provider change with its DNS. */
function providers({ forwardProviders }: MailRelaySpec): Egress[] {
  const ports = [...new Set(forwardProviders.map(({ port }) => port))].sort((a, b) => a - b);
  return ports.length === 0 ? [] : [{ ports: ports.map(port => ({ port, protocol: 'TCP' })) }];
}

function peers(from: NonNullable<NetworkPolicySpec['from']>): Peer[] {
  return from.map(peer => (peer.ipBlock === undefined ? peer : { ipBlock: block(peer.ipBlock) }) as Peer);
}

function block({ cidr, except }: { cidr: string; except?: string[] | undefined }): Peer['ipBlock'] {
  return {
    cidr: withPrefix(cidr),
    ...(except !== undefined && except.length > 0 && { except: except.map(withPrefix) }),
  };
}
