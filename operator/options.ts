/** The operator's command line: each flag with its default, checked, as a value. */
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';

export interface OperatorOptions {
  /** Absent: KUBECONFIG, in-cluster files, ~/.kube/config, in this order. */
  readonly kubeconfig?: string;
  /** Image of relay pods where spec.image says nothing. */
  readonly relayImage: string;
  /** Absent: all. */
  readonly watchNamespaces?: readonly string[];
  /** Label selector over MailRelays, to share them between several operators. */
  readonly selector?: string;
  readonly leaderElect: boolean;
  /** Where the Lease is, and where the operator runs. */
  readonly leaderElectionNamespace: string;
  /** Several operators with different selectors need different leases. */
  readonly leaderElectionName: string;
  readonly healthHost: string;
  readonly healthPort: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  readonly workers: number;
  /** Namespaces whose pods may read the relays' metrics. */
  readonly monitoringNamespaces: readonly string[];
  /** Address of the runbooks that alerts point to. */
  readonly runbooks: string;
}

/** Thrown when the program should end at once with this code: wrong use, or help was asked for. */
export class UsageError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number) {
    super(message);
    this.name = 'UsageError';
    this.exitCode = exitCode;
  }
}

const defaultRunbooks = 'https://mailrelay.dev/docs/runbooks';

/** Parses `args` (without node and script). Throws {@link UsageError}; commander has said why on stderr. */
export function parseOptions(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): OperatorOptions {
  const program = describe(env).exitOverride();
  try {
    program.parse(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) throw new UsageError(error.message, error.exitCode === 0 ? 0 : 2);
    throw error;
  }
  return program.opts<OperatorOptions>();
}

function describe(env: Readonly<Record<string, string | undefined>>): Command {
  return new Command('operator')
    .description('Reconciles MailRelay resources into relay pods and what they need.')
    .option('--kubeconfig <file>', 'the cluster to talk to (default: KUBECONFIG, then in-cluster)')
    .requiredOption('--relay-image <image>', 'image of relay pods', env['RELAY_IMAGE'])
    .option('--watch-namespaces <names>', 'comma-separated namespaces (default: all)', names)
    .option('--selector <selector>', 'label selector over MailRelays, for sharding')
    .option('--no-leader-elect', 'work without a lease: only where no second operator can run')
    .option('--leader-election-namespace <name>', 'namespace of the lease', env['POD_NAMESPACE'] ?? 'default')
    .option('--leader-election-name <name>', 'name of the lease', 'mailrelay-operator')
    .option('--health-host <address>', 'address of /healthz, /readyz and /metrics', '::')
    .option('--health-port <port>', 'their port', whole(0, 65_535), 8081)
    .option('--workers <number>', 'MailRelays worked on at the same time', whole(1, 64), 8)
    .option('--monitoring-namespaces <names>', 'namespaces whose pods may read metrics', names, [
      'monitoring',
    ])
    .option('--runbooks <url>', 'address of the runbooks that alerts point to', defaultRunbooks)
    .addOption(
      new Option('--log-level <level>', 'least serious lines to log')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    );
}

function names(text: string): string[] {
  const list = text.split(',').map(name => name.trim());
  if (list.every(name => /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))) return list;
  throw new InvalidArgumentError('must be namespace names, separated by commas.');
}

function whole(least: number, most: number): (text: string) => number {
  return text => {
    const number = Number(text);
    if (Number.isInteger(number) && number >= least && number <= most) return number;
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}.`);
  };
}
