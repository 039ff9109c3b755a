/** What is done with what cannot be seen: it is told in a metric, and MailRelays there are left alone. */
import { Gauge, type Registry } from 'prom-client';
import type { HandlerResult } from './kube/work-queue.ts';
import type { Caches } from './reconcile/caches.ts';
import type { FieldOfView } from './reconcile/field-of-view.ts';

/** Registers the metric in `registry`; once per registry. Every operator tells its own, whether it leads or not. */
export function gaugeOutOfView(registry: Registry, view: Pick<FieldOfView, 'outOfView'>): void {
  new Gauge({
    name: 'mailrelay_operator_scope_out_of_view',
    help: 'Always 1, of what the API server does not show to the operator: a kind in a namespace, or in all (empty).',
    labelNames: ['namespace', 'kind'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { namespace = '', kind } of view.outOfView()) this.set({ namespace, kind }, 1);
    },
  });
}

export interface WithinView {
  readonly caches: {
    readonly relays: Pick<Caches['relays'], 'has'>;
    readonly view: Pick<FieldOfView, 'includes'>;
  };
  /** Forgets what was begun with a MailRelay, and does nothing about it. */
  readonly leave: (key: string) => void;
}

/** `reconcile`, of MailRelays alone of which everything can be seen. The others come again when that has changed. */
export function withinView(
  reconcile: (key: string) => Promise<HandlerResult>,
  { caches: { relays, view }, leave }: WithinView,
): (key: string) => Promise<HandlerResult> {
  return async key => {
    const [namespace = ''] = key.split('/');
    // Of one that is gone nothing is left to be done but to forget it.
    if (view.includes(namespace) || !relays.has(key)) return reconcile(key);
    leave(key);
    return undefined;
  };
}
