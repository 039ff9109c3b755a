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
}

/** Watches are logged when they begin and end, everything else when it is over; no bodies. */
const policy = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata' }],
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
  return events
    .filter(({ verb, userAgent = '' }) => writeVerbs.has(verb) && userAgent.startsWith('mailrelay-operator/'))
    .filter(({ objectRef }) => !['leases', 'events'].includes(objectRef?.resource ?? ''))
    .map(sentence);
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
