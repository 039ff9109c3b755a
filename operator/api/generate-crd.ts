/**
 * Writes what is made from the MailRelay schema: the CRD and its reference
 * page. With --check it writes nothing and ends with 1 when one of them is not
 * what would be written.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { stringify } from 'yaml';
import { customResourceDefinition } from './crd.ts';
import { crdName, group, plural } from './names.ts';
import { referencePage } from './reference.ts';

/** crds/mailrelay.dev_mailrelays.yaml, without line folding so that a difference is one line. */
export function crdYaml(): string {
  const head = `# CustomResourceDefinition ${crdName}, made by operator/api/generate-crd.ts from the schema beside it.\n`;
  return `${head}${stringify(customResourceDefinition(), { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

function main(check: boolean): void {
  const base = new URL('../../', import.meta.url);
  const pages: readonly (readonly [path: string, text: string])[] = [
    [`crds/${group}_${plural}.yaml`, crdYaml()],
    ['docs/mailrelay-reference.md', referencePage()],
  ];
  for (const [path, text] of pages) {
    const file = new URL(path, base);
    if (!check) writeFileSync(file, text);
    else if (present(file) !== text) {
      process.stderr.write(`${path} is out of date: run node operator/api/generate-crd.ts\n`);
      process.exitCode = 1;
    }
  }
}

function present(file: URL): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

if (import.meta.main) main(process.argv.includes('--check'));
