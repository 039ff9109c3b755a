/**
 * The groups that the tests are run in, in this order, and what each needs. Every
 * test file is in exactly one: one that no group names is in the last.
 */
import { globSync } from 'node:fs';
import { join, relative } from 'node:path';
import { clusterMissing } from '../cluster/cluster.ts';
import { apiServerMissing, onPath } from '../cluster/tools.ts';

/** Tests that are run the same way. */
export type Group = {
  readonly name: string;
  /** Globs in the directory `test`. */
  readonly files: readonly string[];
  /** How many files at a time, for two cores: three or four where they wait more than they work. */
  readonly concurrency: number;
  /** Longest time of one file, in minutes: generous, for a busy machine. */
  readonly minutes: number;
  /** Whether its files run inside the network of a cluster: as many clusters as files at a time, where this can make them. */
  readonly onCluster?: true;
  /** Files that take longest: begun first, so that the others fill the time beside them. */
  readonly longest?: readonly string[];
  /** Why it cannot run on this machine; undefined when it can. */
  readonly missing?: () => Promise<string | undefined>;
};

/** Programs that no one here wrote, as clients and as providers. */
const realPrograms = ['swaks', 'msmtp', 'curl', 'python3', 'openssl', 'postconf'];

async function realProgramsMissing(): Promise<string | undefined> {
  const found = await Promise.all(realPrograms.map(onPath));
  const absent = realPrograms.filter((_, index) => !found[index]);
  return absent.length === 0 ? undefined : `${absent.join(', ')} not found: run npm run test:setup as root`;
}

/** The API server takes what the chart renders; Prometheus reads its rules and runs its queries. */
async function chartToolsMissing(): Promise<string | undefined> {
  if (!(await onPath('go'))) return 'Go is missing, from which helm is built';
  if (!(await onPath('promtool'))) return 'promtool is missing: run npm run test:setup as root';
  return apiServerMissing();
}

/** All groups. */
export const groups: readonly Group[] = [
  { name: 'unit', files: ['unit/**'], concurrency: 2, minutes: 5 },
  {
    name: 'smtp',
    files: ['smtp/**', 'failover/**', 'demo/**'],
    concurrency: 3,
    minutes: 10,
    longest: ['failover/waiting-mail.test.ts', 'failover/property.test.ts'],
  },
  {
    name: 'clients',
    files: ['clients/**'],
    concurrency: 3,
    minutes: 5,
    longest: ['clients/real-provider-faults.test.ts', 'clients/real-providers.test.ts'],
    missing: realProgramsMissing,
  },
  {
    name: 'faults',
    files: ['faults/**'],
    concurrency: 3,
    minutes: 15,
    longest: [
      'faults/spool/crash.test.ts',
      'faults/relay/start.test.ts',
      'faults/spool/failing-calls.test.ts',
      'faults/relay/crash.test.ts',
    ],
  },
  {
    name: 'operator',
    files: ['operator/**', 'kube/**', 'cluster/api-server.test.ts'],
    concurrency: 4,
    minutes: 10,
    longest: [
      'operator/out-of-view.test.ts',
      'operator/empty-volumes.test.ts',
      'operator/unreadable.test.ts',
      'operator/program.test.ts',
      'operator/status.test.ts',
      'operator/volumes.test.ts',
      'operator/orphans.test.ts',
      'kube/lease.test.ts',
      'operator/withheld-workload.test.ts',
      'operator/last-pods.test.ts',
      'operator/unlabelled-claims.test.ts',
      'operator/deletion.test.ts',
    ],
    missing: apiServerMissing,
  },
  { name: 'chart', files: ['chart/**'], concurrency: 2, minutes: 5, missing: chartToolsMissing },
  {
    name: 'e2e',
    files: ['e2e/**', 'cluster/**'],
    concurrency: 4,
    minutes: 20,
    onCluster: true,
    longest: [
      'e2e/api-server-away.test.ts',
      'e2e/pods.test.ts',
      'e2e/rollout.test.ts',
      'e2e/operator.test.ts',
    ],
    missing: clusterMissing,
  },
  { name: 'other', files: ['**'], concurrency: 1, minutes: 5 },
];

const testRoot = join(import.meta.dirname, '..');

/** The files of each group, relative to the directory `test`: sorted, but for those that take longest. */
export function filesByGroup(): ReadonlyMap<Group, readonly string[]> {
  const left = new Set(
    globSync('**/*.test.ts', { cwd: testRoot }).filter(file => !file.includes('node_modules')),
  );
  const found = new Map<Group, readonly string[]>();
  for (const group of groups) {
    const matching = new Set(group.files.flatMap(pattern => globSync(pattern, { cwd: testRoot })));
    const files = new Set([...left].filter(file => matching.has(file)).sort());
    for (const file of files) left.delete(file);
    const first = (group.longest ?? []).filter(file => files.has(file));
    found.set(group, [...new Set([...first, ...files])]);
  }
  return found;
}

/** Names of groups, and parts of paths that narrow the choice. */
export type Selection = { readonly groups: readonly Group[]; readonly parts: readonly string[] };

/** Reads the command line: a word that names a group is that group, any other is a part of a path. */
export function readSelection(words: readonly string[]): Selection {
  const chosen = groups.filter(({ name }) => words.includes(name));
  const parts = words.filter(word => !groups.some(({ name }) => name === word));
  return {
    groups: chosen.length > 0 ? chosen : groups,
    parts: parts.map(part =>
      part.startsWith('/') ? relative(testRoot, part) : part.replace(/^(\.\/)?test\//, ''),
    ),
  };
}

/** Absolute path of a file of {@link filesByGroup}. */
export function pathOf(file: string): string {
  return join(testRoot, file);
}
