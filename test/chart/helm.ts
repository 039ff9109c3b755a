/** The real helm on the chart of this repository. */
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { command } from '../cluster/process.ts';
import { helmProgram } from '../cluster/tools.ts';

export const repository: string = join(import.meta.dirname, '../..');
export const chart: string = join(repository, 'charts/mailrelay');
/** Values that switch everything on. */
export const fullValues: string = join(import.meta.dirname, 'values/full.yaml');

export type Release = { readonly name: string; readonly namespace: string };

export const release: Release = { name: 'mailrelay', namespace: 'mailrelay-system' };

/** A rendered object, as far as tests look into it. */
export type Rendered = {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of many kinds
  readonly [field: string]: any;
};

/** Runs helm. Throws what it said when it fails. */
export async function helm(args: readonly string[], env?: NodeJS.ProcessEnv): Promise<string> {
  const line = [await helmProgram(), ...args];
  return (await command(line, env === undefined ? {} : { env: { ...process.env, ...env } })).stdout;
}

/** What `helm template` makes of the chart: text. A helm built from source takes itself for Kubernetes 1.20. */
export function renderText(
  args: readonly string[] = [],
  { name, namespace }: Release = release,
): Promise<string> {
  return helm(['template', name, chart, '--namespace', namespace, '--kube-version', '1.34.0', ...args]);
}

/** What `helm template` makes of the chart: objects. Fails on YAML with doubled keys. */
export async function render(
  args: readonly string[] = [],
  of: Release = release,
): Promise<readonly Rendered[]> {
  const documents = parseAllDocuments(await renderText(args, of), { uniqueKeys: true });
  return documents.flatMap(document => {
    if (document.errors[0] !== undefined) throw document.errors[0];
    return (document.toJS() as Rendered | null) ?? [];
  });
}

/** The only object of this kind, or the one with this ending of its name. */
export function one(objects: readonly Rendered[], kind: string, ending = ''): Rendered {
  const found = objects.filter(object => object.kind === kind && object.metadata.name.endsWith(ending));
  if (found.length === 1 && found[0] !== undefined) return found[0];
  throw new Error(`${found.length} objects of kind ${kind} with a name ending in "${ending}", not one`);
}

/** Which objects there are, as `Kind name`. */
export function names(objects: readonly Rendered[]): readonly string[] {
  return objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort();
}
