import assert from 'node:assert/strict';
import { once } from 'node:events';
import { globSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type ProgramHandlers, runProgram } from '../../../relay/admin/cli/program.ts';

const repository = join(import.meta.dirname, '../../..');
/** For what it is told that it may not do, as commander has it for a wrong command line. */
const wrongUse = 2;

const handlers: ProgramHandlers = {
  version: '1.2.3',
  run: () => Promise.resolve(0),
  verify: () => Promise.resolve([]),
};

/** `mailrelay queue …` and `mailrelay verify …` as the pages tell people to type them, each once. */
function documented(): readonly string[] {
  const pages = globSync(['docs/runbooks/*.md', 'docs/kubernetes.md', 'docs/mailrelay.md'], {
    cwd: repository,
  });
  const found = pages.flatMap(page => {
    const content = readFileSync(join(repository, page), 'utf8');
    return [...content.matchAll(/\bmailrelay ((?:queue|verify)\b[^`\n|>#]*)/g)].map(([, words = '']) =>
      words.trim(),
    );
  });
  return [...new Set(found)].sort();
}

/** The words of a command with something in place of what a person fills in. */
function filledIn(command: string, { port, file }: { port: number; file: string }): readonly string[] {
  return command
    .replace(/ --admin-port \d+/, '')
    .split(/ +/)
    .map(word => ({ ID: '0mwsc6jud2nn5jkvh', FILE: file, TEXT: 'someone' })[word] ?? word)
    .concat('--admin-port', String(port));
}

describe('the commands on the pages for people on call', () => {
  let port: number;
  let directory: string;
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'mailrelay-commands-'));
    await writeFile(join(directory, 'mail.eml'), 'From: a@example.com\r\nTo: b@example.org\r\n\r\nhello\r\n');
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as { port: number }).port;
    server.close(); // nobody answers there: what is typed right gets as far as that
    await once(server, 'close');
  });

  after(() => rm(directory, { recursive: true }));

  test('are found', () => {
    assert.ok(documented().length > 10, documented().join('\n'));
  });

  for (const command of documented()) {
    test(`mailrelay ${command}`, async () => {
      const said: string[] = [];
      // Without a terminal, as with kubectl exec.
      const streams = {
        stdout: { write: () => true },
        stderr: { write: (words: string | Uint8Array) => said.push(String(words)) > 0 },
        ...{ env: {}, now: Date.now },
      };
      const words = filledIn(command, { port, file: join(directory, 'mail.eml') });
      const code = await runProgram(words, handlers, streams);
      const complaint = said.join('');
      assert.notEqual(code, wrongUse, complaint);
      assert.match(complaint, /ECONNREFUSED|no relay|cannot be reached/i);
    });
  }
});
