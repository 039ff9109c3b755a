/** What the cluster looks like, for the reader of a failed test. */
import type { Cluster } from '../cluster/cluster.ts';
import { operatorDeployment, operatorNamespace } from './installation.ts';

/** The MailRelay, its objects and events, and the ends of the logs. Never rejects. */
export async function diagnosis(cluster: Cluster, namespace: string): Promise<string> {
  const relays = 'app.kubernetes.io/component=relay';
  const questions: readonly (readonly string[])[] = [
    ['-n', namespace, 'get', 'mailrelay', '-o', 'jsonpath={.items[*].status}'],
    ['-n', namespace, 'get', 'all,pvc,configmap', '-o', 'wide'],
    ['-n', namespace, 'get', 'events', '--sort-by=.lastTimestamp'],
    ['-n', namespace, 'logs', '-l', relays, '--prefix', '--tail=30'],
    ['-n', operatorNamespace, 'logs', `deployment/${operatorDeployment}`, '--tail=30'],
  ];
  const answers = questions.map(async args => {
    const answer = await cluster.kubectl(args, { timeout: 20_000 }).catch(String);
    return `$ kubectl ${args.join(' ')}\n${answer}`;
  });
  return (await Promise.all(answers)).join('\n');
}
