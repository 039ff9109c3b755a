/**
 * What each MailRelay is like now, for Prometheus: alerts rest on it that the pods' own metrics cannot give, of a
 * MailRelay without any pod and of one that cannot be brought about. Told by whoever leads alone, so that nobody
 * contradicts. Knows what it has been told since; written out only when somebody reads it.
 */
import {
  Gauge,
  type GaugeConfiguration,
  type MetricObjectWithValues,
  type MetricValue,
  type Registry,
} from 'prom-client';
import type { Clock } from '../kube/clock.ts';
import type { RelayState } from './relay-state.ts';

/**
 * How long a MailRelay that is gone is said to have no pods. Longer than alerts believe what was said last when nothing
 * is said any more (10 min, see operator/resources/alerts.ts): a leader of before may have said otherwise.
 */
const REMEMBERED_MS = 15 * 60_000;

interface Told {
  expectedPods?: number;
  state?: RelayState;
}

export interface RelayGaugesOptions {
  readonly clock: Pick<Clock, 'now'>;
  /** Whether this process leads. */
  readonly leads: () => boolean;
}

export class RelayGauges {
  readonly #options: RelayGaugesOptions;
  /** By key, `namespace/name`. */
  readonly #told = new Map<string, Told>();
  /** When MailRelays went, by key, the earliest first. */
  readonly #gone = new Map<string, number>();

  /** Registers the metrics in `registry`; once per registry. */
  constructor(registry: Registry, options: RelayGaugesOptions) {
    this.#options = options;
    new ReadGauge(
      this.#reading(() => this.#expectedPods()),
      {
        name: 'mailrelay_operator_relay_expected_pods',
        help: 'Pods of a MailRelay that Prometheus should find: its wanted replicas, 0 where no ServiceMonitor is wanted or it goes.',
        labelNames: ['relay_namespace', 'relay'],
        registers: [registry],
      },
    );
    new ReadGauge(
      this.#reading(() => this.#states()),
      {
        name: 'mailrelay_operator_relay_state',
        help: 'Always 1; the label is the state of a MailRelay: ready, not-ready, suspended, failing (to be reconciled), stalled, out-of-view.',
        labelNames: ['relay_namespace', 'relay', 'state'],
        registers: [registry],
      },
    );
  }

  /** Says how many pods it is to have. */
  expect(key: string, pods: number): void {
    this.#of(key).expectedPods = pods;
  }

  /** Says how it stands. */
  become(key: string, state: RelayState): void {
    this.#of(key).state = state;
  }

  /** Says that there is no such MailRelay any more. */
  forget(key: string): void {
    this.#forgetGone();
    if (this.#told.delete(key)) this.#gone.set(key, this.#options.clock.now());
  }

  /** To be called when somebody else may lead from now on. */
  forgetAll(): void {
    this.#told.clear();
    this.#gone.clear();
  }

  #of(key: string): Told {
    const known = this.#told.get(key);
    if (known !== undefined) return known;
    const told: Told = {};
    this.#told.set(key, told);
    this.#gone.delete(key);
    return told;
  }

  #forgetGone(): void {
    const until = this.#options.clock.now() - REMEMBERED_MS;
    for (const [key, at] of this.#gone) {
      if (at > until) return;
      this.#gone.delete(key);
    }
  }

  /** Also of what a worker that was not done yet told when this led no more. */
  #reading(read: () => Value[]): () => Value[] {
    return () => (this.#options.leads() ? read() : []);
  }

  #expectedPods(): Value[] {
    this.#forgetGone();
    const gone = [...this.#gone.keys()].map(key => ({ value: 0, labels: labelsOf(key) }));
    const there = [...this.#told].flatMap(([key, { expectedPods: value }]) =>
      value === undefined ? [] : [{ value, labels: labelsOf(key) }],
    );
    return [...there, ...gone];
  }

  #states(): Value[] {
    return [...this.#told].flatMap(([key, { state }]) =>
      state === undefined ? [] : [{ value: 1, labels: { ...labelsOf(key), state } }],
    );
  }
}

type Value = MetricValue<string>;

function labelsOf(key: string): { relay_namespace: string; relay: string } {
  const [relay_namespace = '', relay = ''] = key.split('/');
  return { relay_namespace, relay };
}

/** A gauge that keeps no values: those of prom-client would cost 0.2 KB each, more than all else that is kept here. */
class ReadGauge extends Gauge {
  readonly #read: () => Value[];

  constructor(read: () => Value[], configuration: GaugeConfiguration<string>) {
    super(configuration);
    this.#read = read;
  }

  override async get(): Promise<MetricObjectWithValues<Value>> {
    return { ...(await super.get()), values: this.#read() };
  }
}
