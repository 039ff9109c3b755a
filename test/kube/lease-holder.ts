/**
 * A process that wants a lease and writes while it leads: argument 1 is a kubeconfig, 2 its identity. Reports
 * lines on standard output; the line `stall MS` on standard input blocks its event loop for so long.
 */
import process from 'node:process';
import { createInterface } from 'node:readline';
import { createClient } from '../../operator/kube/client.ts';
import { loadConnection } from '../../operator/kube/connection.ts';
import { createLeaderElection } from '../../operator/kube/lease.ts';
import { createTransport } from '../../operator/kube/transport.ts';

const [kubeconfig = '', identity = ''] = process.argv.slice(2);
const connection = await loadConnection({ kubeconfig, env: {} });
const transport = createTransport({ connection, userAgent: 'lease-holder/1' });
const say = (line: string) => process.stdout.write(`${line}\n`);

const election = createLeaderElection({
  client: createClient(transport),
  namespace: 'default',
  name: 'kit-test',
  identity,
  onStarted: () => say('started'),
  onStopped: why => say(`stopped ${why}`),
});
election.start();

let seen: string | undefined;
setInterval(() => {
  if (election.holder !== seen) say(`sees ${election.holder}`);
  seen = election.holder;
}, 20).unref();

createInterface({ input: process.stdin }).on('line', line => {
  const end = performance.now() + Number(line.split(' ')[1]);
  while (performance.now() < end) {
    // Busy on purpose: no timer and no answer is served meanwhile.
  }
  say(`woke ${election.isLeader() ? 'leading' : 'not leading'}`);
});
process.once('SIGTERM', () => {
  election
    .stop()
    .then(() => transport.close())
    .then(() => process.exit(0))
    .catch(() => process.exit(1));
});
