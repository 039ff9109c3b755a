/** An application in the cluster: a pod of its own that sends plain SMTP to a Service by its name. */
import type { Cluster, PodName } from '../cluster/cluster.ts';

/** Speaks SMTP with what Node.js has; prints the Message-IDs that got their 250, one a line. */
const program = `
  const [host, ...ids] = process.argv.slice(1);
  const socket = require('node:net').connect({ host, port: 25 });
  socket.on('error', error => { console.error(String(error)); process.exit(1); });
  const lines = require('node:readline').createInterface({ input: socket });
  const replies = lines[Symbol.asyncIterator]();
  const reply = async () => {
    for (;;) {
      const { value, done } = await replies.next();
      if (done) throw new Error('connection closed');
      if (value[3] !== '-') return value;
    }
  };
  const say = async (line, code) => {
    if (line !== undefined) socket.write(line + '\\r\\n');
    const answer = await reply();
    if (!answer.startsWith(code)) throw new Error(line + ': ' + answer);
  };
  (async () => {
    await say(undefined, '220');
    await say('EHLO app.test', '250');
    for (const id of ids) {
      await say('MAIL FROM:<app@app.test>', '250');
      await say('RCPT TO:<someone@example.com>', '250');
      await say('DATA', '354');
      await say(['From: app@app.test', 'To: someone@example.com', 'Message-ID: ' + id, '', 'hello', '.'].join('\\r\\n'), '250');
      console.log(id);
    }
    await say('QUIT', '221');
    process.exit(0);
  })().catch(error => { console.error(error.message); process.exit(1); });
`;

/** A pod that waits to be told what to send. */
export function applicationPod(cluster: Cluster, name = 'app'): object {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'app',
          image: cluster.nodeImage,
          command: ['node', '-e', 'setInterval(() => {}, 1000000)'],
          securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
        },
      ],
    },
  };
}

/** Sends messages with these Message-IDs; resolves with those that got their 250, all of them, else rejects. */
export async function sendFromPod(
  cluster: Cluster,
  pod: PodName,
  { service, ids }: { readonly service: string; readonly ids: readonly string[] },
): Promise<readonly string[]> {
  const printed = await cluster.exec(pod, ['node', '-e', program, service, ...ids]);
  return printed.trim().split('\n');
}
