/** A MailRelay with one pod and a volume that is to go with it, and what happens to them when it is deleted. */
import { mailRelays } from '../../operator/api/mail-relay.ts';
import { annotations } from '../../operator/api/names.ts';
import type { MailRelaySpecInput } from '../../operator/api/schema.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import {
  configMaps,
  deployments,
  networkPolicies,
  type PersistentVolumeClaim,
  persistentVolumeClaims,
  serviceAccounts,
  services,
} from '../../operator/resources/kinds.ts';
import { waitUntil } from '../kube/wait-until.ts';
import { openProvider, type Rig, ref, relayStatus } from './rig.ts';

export const none = relayStatus('').queue;
export const four: typeof none = { ...none, failed: { messages: 4, bytes: 40 } };

/** Its volume is to go with it. */
export function deleted(more: MailRelaySpecInput['spool'] = {}): MailRelaySpecInput {
  return { ...openProvider, spool: { retention: 'Delete', ...more } };
}

/** How many unsent messages it says that there are on it. */
export function unsentOn({ metadata }: PersistentVolumeClaim): string | undefined {
  return metadata.annotations?.[annotations.unsentMessages];
}

export class DeletionScene {
  readonly #rig: Rig;

  constructor(rig: Rig) {
    this.#rig = rig;
  }

  claim(namespace: string, name = 'mail-spool'): Promise<PersistentVolumeClaim> {
    return this.#rig.client.get(persistentVolumeClaims, ref(namespace, name));
  }

  remove(
    namespace: string,
    propagation: 'Background' | 'Foreground' | 'Orphan' = 'Background',
  ): Promise<unknown> {
    return this.#rig.client.delete(mailRelays, ref(namespace), { propagation });
  }

  /** Waits until the pod is told to. */
  drains(namespace: string, pod: string): Promise<unknown> {
    return this.#rig.waitFor(configMaps, ref(namespace, 'mail-config'), ({ data }) =>
      (JSON.parse(data!['config.json']!).draining ?? []).includes(pod),
    );
  }

  /** Counts alone are written once in 10 s, and a calm pod is asked once in 10 s. */
  counted(namespace: string, failed: number): Promise<void> {
    return waitUntil(
      `${failed} messages are counted`,
      async () => (await this.#rig.relay(namespace)).status?.queue?.failed === failed,
      60_000,
    );
  }

  /** What the garbage collector would, which is not there. */
  async removeChildren(namespace: string): Promise<void> {
    const named: readonly Resource[] = [deployments, serviceAccounts, services, networkPolicies];
    for (const resource of named) await this.#rig.client.delete(resource, ref(namespace));
    await this.#rig.client.delete(configMaps, ref(namespace, 'mail-config'));
    await this.#rig.client.delete(services, ref(namespace, 'mail-pods'));
  }

  /** A relay with pod mail-a that has said this of its queue, or nothing at all, and a bound volume. Its address. */
  async running(
    namespace: string,
    spec: MailRelaySpecInput,
    queue: typeof none | undefined,
  ): Promise<string> {
    await this.#rig.namespace(namespace);
    await this.#rig.createRelay(namespace, spec);
    await this.#rig.waitFor(deployments, ref(namespace));
    await this.#rig.bind(namespace);
    const ip = await this.#rig.createPod(namespace, 'mail-a', queue && relayStatus('', { queue }));
    if (queue !== undefined) await this.counted(namespace, queue.failed.messages);
    return ip;
  }
}
