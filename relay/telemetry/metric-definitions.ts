/**
 * Every metric of the relay: name, help and buckets, in one place. Names are
 * stable: dashboards and alerts rest on them. Units are seconds and bytes;
 * labels are bounded by the code or by the configuration, never by mail.
 */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { Tally } from './tally.ts';

/**
 * From a local refusal (1 ms) to the longest answer RFC 5321 section 4.5.3.2
 * lets a final dot take (600 s); steps of 2–2.5 where providers usually answer.
 */
const attemptBuckets = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600];

/** One fsync takes 0.1–10 ms on usual disks: fine steps there, then what a client would notice. */
const acceptBuckets = [0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5];

/**
 * Below a second: healthy flow; 5 s: patience and tries; minutes to hours: the
 * resend schedule (1, 2, 4 … 60 min); 432,000 s = 5 days, when mail expires.
 */
const delayBuckets = [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600, 21_600, 86_400, 432_000];

/** How a metric is made. A tally is a labelled counter. */
type Definition =
  | { readonly kind: 'counter'; readonly name: string; readonly help: string }
  | {
      readonly kind: 'tally';
      readonly name: string;
      readonly labels: readonly string[];
      readonly help: string;
    }
  | {
      readonly kind: 'gauge';
      readonly name: string;
      readonly labels?: readonly string[];
      readonly help: string;
    }
  | {
      readonly kind: 'histogram';
      readonly name: string;
      readonly labels?: readonly string[];
      readonly buckets: readonly number[];
      readonly help: string;
    };

const definitions = {
  accepted: {
    kind: 'counter',
    name: 'mailrelay_accepted_total',
    help: 'Messages accepted. Moves when a message is on disk and its client is told 250.',
  },
  acceptedBytes: {
    kind: 'counter',
    name: 'mailrelay_accepted_bytes_total',
    help: 'Bytes of accepted messages. Moves with mailrelay_accepted_total.',
  },
  acceptDuration: {
    kind: 'histogram',
    name: 'mailrelay_accept_duration_seconds',
    buckets: acceptBuckets,
    help: 'Seconds from the last byte of a message to its commit on disk. Observed for every accepted message.',
  },
  rejected: {
    kind: 'tally',
    name: 'mailrelay_rejected_total',
    labels: ['reason'],
    help: 'Connections, commands or messages that the listener turned away, by reason. Moves with every refusal.',
  },
  listenerConnections: {
    kind: 'gauge',
    name: 'mailrelay_listener_connections',
    help: 'Client connections open now.',
  },
  certificateEnd: {
    kind: 'gauge',
    name: 'mailrelay_listener_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of the listener ends, in seconds since 1970; 0 when one is configured and cannot be used, so that STARTTLS is not offered. Absent when none is configured.',
  },
  attempts: {
    kind: 'tally',
    name: 'mailrelay_provider_attempts_total',
    labels: ['provider', 'outcome', 'stage', 'class'],
    help: 'Tries at a provider, of a message or of a connection. Moves when a try ends; class says whose fault a failure is taken to be.',
  },
  attemptDuration: {
    kind: 'histogram',
    name: 'mailrelay_provider_attempt_duration_seconds',
    labels: ['provider', 'outcome'],
    buckets: attemptBuckets,
    help: 'Seconds one try at a provider took. Observed when a try ends.',
  },
  delivered: {
    kind: 'tally',
    name: 'mailrelay_provider_messages_delivered_total',
    labels: ['provider'],
    help: 'Transactions that a provider answered 2xx at the final dot. Moves once for each, whatever its number of recipients.',
  },
  failovers: {
    kind: 'tally',
    name: 'mailrelay_failovers_total',
    labels: ['from', 'to'],
    help: 'Messages that went on from one provider to another. Moves each time one goes on.',
  },
  probes: {
    kind: 'tally',
    name: 'mailrelay_provider_probes_total',
    labels: ['provider', 'result'],
    help: 'Background probes of providers that are out of use, without mail. Moves when a probe ends; result is success or failure.',
  },
  up: {
    kind: 'gauge',
    name: 'mailrelay_provider_up',
    labels: ['provider'],
    help: '1 when the provider would be given mail now (active or standby), otherwise 0.',
  },
  state: {
    kind: 'gauge',
    name: 'mailrelay_provider_state',
    labels: ['provider', 'state'],
    help: '1 for the state a provider is in, 0 for the others.',
  },
  connections: {
    kind: 'gauge',
    name: 'mailrelay_provider_connections',
    labels: ['provider'],
    help: 'Connections to a provider open now, in use or idle.',
  },
  recipients: {
    kind: 'tally',
    name: 'mailrelay_recipients_settled_total',
    labels: ['result'],
    help: 'Recipients whose fate is decided: delivered, rejected (refused for good) or expired (grown too old). Moves once for each recipient of each message.',
  },
  delay: {
    kind: 'histogram',
    name: 'mailrelay_delivery_delay_seconds',
    buckets: delayBuckets,
    help: 'Seconds from the acceptance of a message to its delivery to a recipient. Observed for every delivered recipient.',
  },
  ambiguous: {
    kind: 'counter',
    name: 'mailrelay_ambiguous_total',
    help: 'Transactions whose final dot was never answered, so that nobody can know; they are sent again and may arrive twice. Moves once for each.',
  },
  expired: {
    kind: 'counter',
    name: 'mailrelay_expired_total',
    help: 'Recipients given up because their message grew too old. Moves once for each recipient.',
  },
  roundsFailed: {
    kind: 'counter',
    name: 'mailrelay_rounds_failed_total',
    help: 'Rounds over all providers that left a message unsettled. Moves when a message goes (back) to emails/failed.',
  },
  dead: {
    kind: 'counter',
    name: 'mailrelay_messages_dead_total',
    help: 'Messages that ended without every recipient delivered. Moves when a message goes to emails/dead.',
  },
  deadRemoved: {
    kind: 'counter',
    name: 'mailrelay_dead_removed_total',
    help: 'Dead messages removed for good because retention (age, number or bytes) ended.',
  },
  quarantined: {
    kind: 'counter',
    name: 'mailrelay_spool_quarantined_total',
    help: 'Things in the store that were not understood and were moved to emails/quarantine.',
  },
  queueMessages: {
    kind: 'gauge',
    name: 'mailrelay_queue_messages',
    labels: ['state'],
    help: 'Messages in the queue now, by state.',
  },
  queueBytes: {
    kind: 'gauge',
    name: 'mailrelay_queue_bytes',
    labels: ['state'],
    help: 'Bytes of the messages in the queue now, by state.',
  },
  queueOldest: {
    kind: 'gauge',
    name: 'mailrelay_queue_oldest_age_seconds',
    labels: ['state'],
    help: 'Seconds since the oldest message of that state was accepted; 0 when there is none.',
  },
  diskFree: {
    kind: 'gauge',
    name: 'mailrelay_disk_free_bytes',
    help: 'Bytes free for mail: on the volume of the queue, and inside the database (at most seven times as many).',
  },
  diskReserve: {
    kind: 'gauge',
    name: 'mailrelay_disk_reserve_bytes',
    help: 'New mail is refused while fewer bytes than this are free.',
  },
  spoolFailed: {
    kind: 'gauge',
    name: 'mailrelay_spool_failed',
    help: '1 when a write or sync failed and the store is no longer trusted, otherwise 0.',
  },
  forwarding: {
    kind: 'gauge',
    name: 'mailrelay_forwarding',
    help: '1 when mail is forwarded, 0 when forwardSMTP is false.',
  },
  reloads: {
    kind: 'tally',
    name: 'mailrelay_config_reloads_total',
    labels: ['result'],
    help: 'Configurations read, the first one included. Moves with each; result is success (in force) or failure (refused, the one before stays).',
  },
  configRefused: {
    kind: 'gauge',
    name: 'mailrelay_config_refused',
    help: '1 when the configuration that was read last was refused and the one before stays in force, otherwise 0.',
  },
  configInfo: {
    kind: 'gauge',
    name: 'mailrelay_config_info',
    labels: ['fingerprint'],
    help: 'Always 1; the label is the fingerprint of the configuration in force.',
  },
  buildInfo: {
    kind: 'gauge',
    name: 'mailrelay_build_info',
    labels: ['version'],
    help: 'Always 1; the label is the version of the relay.',
  },
} as const satisfies Readonly<Record<string, Definition>>;

interface Made {
  readonly counter: Counter;
  readonly tally: Tally;
  readonly gauge: Gauge;
  readonly histogram: Histogram;
}

export type Metrics = {
  readonly [K in keyof typeof definitions]: Made[(typeof definitions)[K]['kind']];
};

/** Creates all of them in `registry`. Gauges are filled by metrics.ts at scrape time. */
export function defineMetrics(registry: Registry): Metrics {
  const made = Object.entries(definitions).map(([key, definition]) => [key, make(definition, registry)]);
  return Object.fromEntries(made) as Metrics;
}

function make(definition: Definition, registry: Registry): Made[keyof Made] {
  const { name, help } = definition;
  const registers = [registry];
  switch (definition.kind) {
    case 'counter':
      return new Counter({ name, help, registers });
    case 'tally':
      return new Tally(registry, { name, help, labelNames: definition.labels });
    case 'gauge':
      return new Gauge({ name, help, labelNames: [...(definition.labels ?? [])], registers });
    case 'histogram':
      return new Histogram({
        name,
        help,
        labelNames: [...(definition.labels ?? [])],
        buckets: [...definition.buckets],
        registers,
      });
  }
}
