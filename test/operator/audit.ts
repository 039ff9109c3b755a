/** The API server's audit log: who asked for what and what came of it, each request once. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** One request that was answered, as far as it is read here. */
export interface AuditEvent {
  readonly verb: string;
  /** A watch has two lines: when it begins, and when it ends. */
  readonly stage: 'ResponseStarted' | 'ResponseComplete' | 'Panic';
  readonly user: { readonly username: string };
  readonly userAgent?: string;
  readonly requestURI: string;
  readonly objectRef?: {
    readonly apiGroup?: string;
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
  };
  readonly responseStatus?: { readonly code: number };
  /** RFC 3339 in microseconds, UTC: comparable as text. */
  readonly requestReceivedTimestamp: string;
  /** When it was answered. */
  readonly stageTimestamp: string;
  /** Of leases alone. */
  readonly responseObject?: { readonly spec?: { readonly holderIdentity?: string } };
}

/** Watches are logged when they begin and end, everything else when it is over; bodies of leases alone. */
const policy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'RequestResponse', resources: [{ group: 'coordination.k8s.io', resources: ['leases'] }] },
    { level: 'Metadata' },
  ],
};

const writeVerbs = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

export class AuditLog {
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async make(): Promise<AuditLog> {
    const directory = await mkdtemp(join(tmpdir(), 'mailrelay-audit-'));
    await writeFile(join(directory, 'policy.json'), JSON.stringify(policy));
    return new AuditLog(directory);
  }

  /** For kube-apiserver. */
  get flags(): readonly string[] {
    return [
      `--audit-log-path=${join(this.#directory, 'log')}`,
      `--audit-policy-file=${join(this.#directory, 'policy.json')}`,
    ];
  }

  /** Where the log ends now; hand it to {@link AuditLog.since}. */
  async mark(): Promise<number> {
    return (await this.#text()).length;
  }

  /** What has been answered since. */
  async since(mark = 0): Promise<AuditEvent[]> {
    const text = (await this.#text()).slice(mark);
    const lines = text.split('\n').filter(line => line.endsWith('}'));
    return lines.map(line => JSON.parse(line) as AuditEvent);
  }

  remove(): Promise<void> {
    return rm(this.#directory, { recursive: true, force: true });
  }

  #text(): Promise<string> {
    return readFile(join(this.#directory, 'log'), 'utf8').catch(() => '');
  }
}

/** Writes of operators, without their leases and events. `patch apps/deployments apps/mail 200`. */
export function operatorWrites(events: readonly AuditEvent[]): string[] {
  return writesOfOperators(events)
    .filter(({ objectRef }) => objectRef?.resource !== 'events')
    .map(sentence);
}

/** Since when which user has held a lease; nobody after it was given back. */
interface Tenure {
  readonly user: string | undefined;
  /** The claim was received, and answered: between the two it took effect. */
  readonly claimed: string;
  readonly confirmed: string;
}

/** Every change of hands of a lease, in order. A holder must be a user of its own. */
function tenuresOf(events: readonly AuditEvent[], lease: string): Tenure[] {
  const tenures: Tenure[] = [];
  for (const { verb, objectRef, responseStatus, user, responseObject, ...at } of events) {
    const isClaim = writeVerbs.has(verb) && objectRef?.resource === 'leases' && objectRef.name === lease;
    if (!isClaim || (responseStatus?.code ?? 500) > 299) continue;
    const holder = responseObject?.spec?.holderIdentity ? user.username : undefined;
    if (tenures.at(-1)?.user === holder) continue;
    tenures.push({ user: holder, claimed: at.requestReceivedTimestamp, confirmed: at.stageTimestamp });
  }
  return tenures;
}

/**
 * Proof that one alone writes: writes that do not lie, from being received to being answered, wholly within the time
 * in which their user, and nobody else, could hold the lease. By the API server's one clock.
 */
export function strayWrites(events: readonly AuditEvent[], lease: string): string[] {
  const tenures = tenuresOf(events, lease);
  const isStray = ({ user, requestReceivedTimestamp, stageTimestamp }: AuditEvent): boolean => {
    const at = tenures.findLastIndex(({ confirmed }) => confirmed <= requestReceivedTimestamp);
    const next = tenures[at + 1];
    return tenures[at]?.user !== user.username || (next !== undefined && next.claimed < stageTimestamp);
  };
  return writesOfOperators(events)
    .filter(isStray)
    .map(event => `${event.user.username} at ${event.requestReceivedTimestamp}: ${sentence(event)}`);
}

/** The users by whom operators wrote anything but the lease, in the order of their first writes. */
export function writers(events: readonly AuditEvent[]): string[] {
  return [...new Set(writesOfOperators(events).map(({ user }) => user.username))];
}

function writesOfOperators(events: readonly AuditEvent[]): AuditEvent[] {
  return events
    .filter(({ verb, userAgent = '' }) => writeVerbs.has(verb) && userAgent.startsWith('mailrelay-operator/'))
    .filter(({ objectRef }) => objectRef?.resource !== 'leases');
}

/** Watches of operators that are open, by resource. */
export function openWatches(events: readonly AuditEvent[]): Map<string, number> {
  const open = new Map<string, number>();
  for (const { verb, stage, userAgent = '', objectRef } of events) {
    if (verb !== 'watch' || !userAgent.startsWith('mailrelay-operator/')) continue;
    const { resource = '' } = objectRef ?? {};
    open.set(resource, (open.get(resource) ?? 0) + (stage === 'ResponseStarted' ? 1 : -1));
  }
  return open;
}

/** The request in a few words, for the message of an assertion. */
export function sentence({ verb, objectRef, responseStatus }: AuditEvent): string {
  const { resource = '', subresource, namespace = '', name = '' } = objectRef ?? {};
  const what = subresource === undefined ? resource : `${resource}/${subresource}`;
  return `${verb} ${what} ${namespace}/${name} ${responseStatus?.code ?? ''}`;
}
