/**
 * A machine outside the cluster: a network namespace with an address of its own
 * and a cable to the node, by which it reaches NodePorts. It is gone with the
 * test process.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { command, startService } from '../cluster/process.ts';

/** Of the networks for documentation, which no cluster has. */
const network = { node: '203.0.113.1', outsider: '203.0.113.7', cidr: '203.0.113.0/24' };

export type Outsider = {
  readonly address: string;
  /** The network it is in. */
  readonly cidr: string;
  /** The node, as it is seen from there. */
  readonly node: string;
  /** Runs a program of Node.js there and returns what it printed. */
  run(source: string, args: readonly string[]): Promise<string>;
  leave(): Promise<void>;
};

/** Only for a test that runs in the network of a cluster of our own. */
export async function startOutsider(): Promise<Outsider> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-outsider-'));
  const holder = ['unshare', '--net', 'bash', '-c', 'echo ready; exec sleep infinity'];
  const log = join(directory, 'log');
  const service = await startService('outsider', holder, log);
  const there = ['nsenter', '--target', String(service.pid), '--net'];
  const leave = async (): Promise<void> => {
    await service.stop();
    await rm(directory, { recursive: true });
  };
  await command(['bash', '-c', 'until grep -q ready "$1"; do sleep 0.05; done', '-', log]);
  const { node, outsider, cidr } = network;
  const ip = (...args: readonly string[]) => command(['ip', ...args]);
  const ipThere = (...args: readonly string[]) => command([...there, 'ip', ...args]);
  await ip('link', 'add', 'outside', 'type', 'veth', 'peer', 'name', 'cable', 'netns', String(service.pid));
  await ip('address', 'add', `${node}/24`, 'dev', 'outside');
  await ip('link', 'set', 'outside', 'up');
  await ipThere('address', 'add', `${outsider}/24`, 'dev', 'cable');
  await ipThere('link', 'set', 'cable', 'up');
  return {
    ...{ address: outsider, cidr, node },
    run: async (source, args) =>
      (await command([...there, process.execPath, '-e', source, ...args])).stdout.trim(),
    leave,
  };
}
