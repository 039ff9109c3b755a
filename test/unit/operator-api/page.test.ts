import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { conditionReasons, conditionTypes, eventReasons } from '../../../operator/api/conditions.ts';
import { structuralSchema } from '../../../operator/api/crd-schema.ts';
import type { MailRelayObject } from '../../../operator/api/mail-relay.ts';
import { parseMailRelay } from '../../../operator/api/parse.ts';
import { specSchema } from '../../../operator/api/schema.ts';
import { providerStates, statusSchema } from '../../../operator/api/schema-status.ts';

const file = new URL('../../../docs/mailrelay.md', import.meta.url);
const page = readFileSync(file, 'utf8');

describe('the page about MailRelay', () => {
  test('has examples that the operator takes, as have the README and the page on Kubernetes', () => {
    const pages = ['README.md', 'docs/kubernetes.md'].map(name =>
      readFileSync(new URL(`../../../${name}`, import.meta.url), 'utf8'),
    );
    const shown = [page, ...pages].flatMap(text => [
      ...text.matchAll(/(?:```yaml\n|<<'END'\n)([\s\S]*?)(?:```|\nEND\n)/g),
    ]);
    const blocks = shown.map(([, yaml = '']) => yaml);
    const objects = blocks.flatMap(yaml => parseAllDocuments(yaml).map(document => document.toJS()));
    const relays = objects.filter(({ kind }) => kind === 'MailRelay') as MailRelayObject[];
    assert.ok(relays.length >= 7, `${relays.length} examples`);
    for (const relay of relays) assert.deepEqual(parseMailRelay(relay).problems, undefined);
  });

  test('says what every condition and every state of a provider means', () => {
    for (const word of [...Object.keys(conditionTypes), ...providerStates]) {
      assert.ok(page.includes(`| \`${word}\` |`), word);
    }
  });

  test('names only reasons and events that there are', () => {
    const known = new Set([
      ...Object.keys(conditionTypes),
      ...Object.values(conditionReasons).flatMap(reasons => Object.keys(reasons)),
      ...Object.keys(eventReasons),
      ...providerStates,
      ...['MailRelay', 'Shared', 'PerReplica', 'ReadWriteMany', 'Retain', 'Delete', 'Local'],
      ...['True', 'NodePort', 'LoadBalancer'],
    ]);
    const used = [...page.matchAll(/`([A-Z][A-Za-z]+)`/g)].map(([, word = '']) => word);
    assert.deepEqual(
      used.filter(word => !known.has(word)),
      [],
    );
  });

  test('writes about every group of the spec and of the status', () => {
    for (const schema of [specSchema, statusSchema]) {
      for (const key of Object.keys(structuralSchema(schema).properties ?? {})) {
        if (key !== 'lastHandledReconcileAt') assert.match(page, new RegExp(`\\b${key}\\b`), key);
      }
    }
  });

  test('has links that lead somewhere', () => {
    const links = [...page.matchAll(/\]\(([^)#]+)(#[^)]*)?\)/g)].map(([, target = '']) => target);
    assert.ok(links.length >= 4);
    for (const target of links) assert.ok(existsSync(new URL(target, file)), target);
  });
});
