/**
 * The spec of a MailRelay → config.json, the one contract with the relay.
 * Whatever parseMailRelay lets through loads. Holds no credential: only the
 * paths of files that the pod mounts from Secrets.
 */

import { fingerprintOfValue } from '../../relay/config/fingerprint.ts';
import type { Json } from '../../relay/config/read.ts';
import type { ConfigInput } from '../../relay/config/schema.ts';
import type { MailRelay } from '../api/mail-relay.ts';
import { annotations } from '../api/names.ts';
import type { ListenerSpec } from '../api/schema-listener.ts';
import type { ProviderSpec } from '../api/schema-provider.ts';
import type { BuildContext } from './context.ts';
import {
  listenerAccountFiles,
  listenerTlsFiles,
  providerCaFile,
  providerCredentialFiles,
} from './secret-references.ts';

/** Port of SMTP in the pod; above 1023, so that no privilege is needed. */
export const smtpPort = 2525;
/** Port of probes, /metrics and /status in the pod. */
export const healthPort = 8025;
export const dataDirectory = '/var/spool/mailrelay';

/** How the kubelet asks /readyz: often, since a full disk or a drain should turn senders away soon. */
export const readiness = { periodSeconds: 3, failureThreshold: 2 };

/** For the EndpointSlice and kube-proxy on every node to follow a pod that is not ready. */
const propagationSeconds = 2;

/**
 * SIGTERM: new connections are taken until the Service has no way to the pod any more, then at most 60 s are left
 * for transactions that run. kube-proxy still sends to the last pod of a Service that ends, until its probe fails;
 * were its network to go before that, whoever connects would wait for minutes instead of being refused. Together
 * well below {@link terminationGraceSeconds}, so that the relay ends by itself.
 */
export const shutdownSeconds = {
  graceSeconds: readiness.periodSeconds * readiness.failureThreshold + propagationSeconds,
  deadlineSeconds: 60,
};
export const terminationGraceSeconds = 90;

export interface ConfigJson {
  /** The file. */
  readonly text: string;
  /** What a relay reports that has loaded exactly this. */
  readonly fingerprint: string;
}

/** Depends on spec, the resend annotation and context.draining, and on nothing else. */
export function configJson(relay: MailRelay, context: Pick<BuildContext, 'draining'>): ConfigJson {
  const text = configText(relay, context);
  return { text, fingerprint: fingerprintOfValue(JSON.parse(text) as Json) };
}

/** The file alone, for who does not ask for its fingerprint. */
export function configText(relay: MailRelay, context: Pick<BuildContext, 'draining'>): string {
  return `${JSON.stringify(configDocument(relay, context), null, 2)}\n`;
}

/** The same before it is text. */
export function configDocument(
  { spec, annotations: asked }: MailRelay,
  { draining }: Pick<BuildContext, 'draining'>,
): ConfigInput {
  const resendRequestedAt = visible(asked[annotations.resendRequestedAt]);
  return {
    forwardSMTP: spec.forwardSMTP,
    forwardProviders: spec.forwardProviders.map(provider),
    retry: spec.retry,
    resend: spec.resend,
    listener: listener(spec.listener),
    smtpHost: '::',
    smtpPort,
    healthCheckHost: '::',
    healthCheckPort: healthPort,
    dataDir: dataDirectory,
    sharedDataDir: sharesVolume(spec),
    shutdown: shutdownSeconds,
    ...(draining.length > 0 && { draining: [...draining].sort() }),
    ...(resendRequestedAt !== '' && { resendRequestedAt }),
  };
}

/** Several pods on one volume: then each needs its own directory on it. */
export function sharesVolume({ spool }: MailRelay['spec']): boolean {
  return spool.mode === 'Shared' && spool.accessMode === 'ReadWriteMany';
}

function provider(spec: ProviderSpec): NonNullable<ConfigInput['forwardProviders']>[number] {
  const { secretRef, tls, ...plain } = spec;
  const { caRef, ...options } = tls;
  return {
    ...plain,
    ...(secretRef !== undefined && providerCredentialFiles(spec, secretRef)),
    tls: { ...options, ...(caRef !== undefined && { caFile: providerCaFile(spec, caRef) }) },
  };
}

/** The words of config.json for those of the API. */
const newlines = { Refuse: 'refuse', Normalize: 'normalize' } as const;

function listener({ tls, auth, ...plain }: ListenerSpec): ConfigInput['listener'] {
  const { secretRef, ...switches } = auth;
  return {
    ...plain,
    bareNewlines: newlines[plain.bareNewlines],
    ...(tls !== undefined && { tls: listenerTlsFiles }),
    auth: { ...switches, ...(secretRef !== undefined && { accounts: [listenerAccountFiles] }) },
  };
}

/** An annotation may hold anything; the relay takes up to 256 visible characters, and any new value is as good. */
function visible(text = ''): string {
  return text.replace(/[^\x20-\x7e]/g, '').slice(0, 256);
}
