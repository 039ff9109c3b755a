/**
 * Writes what is made from the MailRelay schema: the CRD and its reference
 * page. With --check it writes nothing and ends with 1 when one of them is not
 * what would be written.
 */
import { stringify } from 'yaml';
import { writeOrCheck } from '../../generated-files.ts';
import { customResourceDefinition } from './crd.ts';
import { crdName, group, plural } from './names.ts';
import { referencePage } from './reference.ts';

/** crds/mailrelay.dev_mailrelays.yaml, without line folding so that a difference is one line. */
export function crdYaml(): string {
  const head = `# CustomResourceDefinition ${crdName}, made by operator/api/generate-crd.ts from the schema beside it.\n`;
  return `${head}${stringify(customResourceDefinition(), { lineWidth: 0, aliasDuplicateObjects: false })}`;
}

if (import.meta.main) {
  writeOrCheck([
    [`crds/${group}_${plural}.yaml`, crdYaml()],
    ['docs/mailrelay-reference.md', referencePage()],
  ]);
}
