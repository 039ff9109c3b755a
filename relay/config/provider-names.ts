/**
 * A unique name for each provider: the given one, else its host, else host
 * and port, else those with a number. Names label metrics and logs, so a
 * provider's name does not depend on priorities or on providers elsewhere.
 */
import type { Findings } from './findings.ts';

interface Nameable {
  readonly name?: string | undefined;
  readonly host: string;
  readonly port: number;
}

/** One name per provider, in the same order. Given names that occur twice are problems. */
export function assignNames(providers: readonly Nameable[], findings: Findings): readonly string[] {
  const taken = givenNames(providers, findings);
  const unnamed = providers.filter(provider => provider.name === undefined);
  return providers.map(provider => {
    if (provider.name !== undefined) return provider.name;
    const host = provider.host.toLowerCase();
    const shared = unnamed.filter(other => other.host.toLowerCase() === host).length > 1;
    const wanted = shared || taken.has(host) ? `${host}:${provider.port}` : host;
    const name = free(wanted, taken);
    taken.add(name);
    return name;
  });
}

function givenNames(providers: readonly Nameable[], findings: Findings): Set<string> {
  const first = new Map<string, number>();
  for (const [index, { name }] of providers.entries()) {
    if (name === undefined) continue;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, index);
    else {
      findings.problems.push({
        keys: [`forwardProviders[${index}].name`, `forwardProviders[${earlier}].name`],
        sentence: `forwardProviders[${index}].name: ${JSON.stringify(name)} must be unique: forwardProviders[${earlier}] has it too`,
      });
    }
  }
  return new Set(first.keys());
}

/** `#` cannot stand in a given name. */
function free(wanted: string, taken: ReadonlySet<string>): string {
  if (!taken.has(wanted)) return wanted;
  let number = 2;
  while (taken.has(`${wanted}#${number}`)) number += 1;
  return `${wanted}#${number}`;
}
