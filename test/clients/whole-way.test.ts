/**
 * The whole way with nothing of ours at either end: mail programs that no one
 * here wrote, the relay in a process of its own, Postfix or Exim behind it.
 */
import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serverCertificate } from '../smtp/certificates.ts';
import { until } from '../smtp/wait.ts';
import { MAIL_PROGRAMS, runProgram } from './mail-programs.ts';
import { KINDS, letter, openRig, type Rig } from './rig.ts';
import { isInstalled } from './tethered.ts';

const listener = {
  hostname: 'relay.test',
  tls: { certificateFile: 'server.pem', keyFile: 'server.key' },
  auth: { accounts: [{ username: 'app', password: 'pass word' }] },
};

for (const kind of KINDS) {
  describe(`to ${kind.name} by the relay from`, { skip: kind.missing() ?? false }, () => {
    let rig: Rig;
    before(async () => {
      rig = await openRig([{ kind }], { listener }, async directory => {
        const { certificate, key } = serverCertificate();
        await writeFile(join(directory, 'server.pem'), certificate);
        await writeFile(join(directory, 'server.key'), key);
      });
    });
    after(() => rig[Symbol.asyncDispose]());

    for (const [name, command] of Object.entries(MAIL_PROGRAMS)) {
      for (const secure of [false, true]) {
        const way = secure ? 'with STARTTLS and a password' : 'in clear';
        test(`${name}, ${way}`, {
          skip: isInstalled(name) ? false : `${name} is not installed`,
        }, async () => {
          const subject = `${name}-${secure ? 'secure' : 'clear'}`;
          const content = letter({ subject, from: 'a@example.com', text: '.dot\r\n..\r\nend: süß\r\n' });
          const file = join(rig.relay.directory, `${subject}.eml`);
          await writeFile(file, content);
          const caFile = join(rig.relay.directory, 'ca.pem');
          const recipients = ['b@example.net'];
          await runProgram(command({ port: rig.relay.smtpPort, secure, recipients, file, caFile }));
          const { given, received } = await rig.providers[0]!.mail.one(subject);
          // Some programs add a line end of their own at the end.
          assert.equal(given.toString().trimEnd(), content.toString().trimEnd());
          assert.match(received, secure ? /with (?:UTF8SMTPSA|ESMTPSA) / : /with (?:UTF8SMTP|ESMTP) /);
        });
      }
    }
  });
}

const absent = KINDS.map(kind => kind.missing()).find(reason => reason !== undefined);

describe('between those programs and two providers', { skip: absent ?? false }, () => {
  test('mail goes through the second while the first is down, waits in emails/failed while both are, and goes when one is back', async () => {
    await using rig = await openRig(KINDS.map(kind => ({ kind })));
    const [first, second] = rig.providers;
    const programs = Object.entries(MAIL_PROGRAMS).filter(([name]) => isInstalled(name));
    assert.ok(first && second && programs.length > 0);
    const handOver = async (when: string): Promise<string[]> => {
      const subjects: string[] = [];
      for (const [name, command] of programs) {
        const subject = `${name}-${when}`;
        const file = join(rig.relay.directory, `${subject}.eml`);
        await writeFile(file, letter({ subject, from: 'a@example.com' }));
        const caFile = join(rig.relay.directory, 'ca.pem');
        const recipients = ['b@example.net'];
        await runProgram(command({ port: rig.relay.smtpPort, secure: false, recipients, file, caFile }));
        subjects.push(subject);
      }
      return subjects;
    };
    const waiting = async (): Promise<number> => {
      const names = await readdir(join(rig.relay.dataDir, 'emails/failed'));
      return names.filter(name => name.endsWith('.eml')).length;
    };
    await first.down();
    for (const subject of await handOver('second')) await second.mail.one(subject);
    assert.deepEqual(await first.mail.read(), []);
    await second.down();
    const kept = await handOver('kept');
    await until(async () => (await waiting()) === kept.length, 'the mail in emails/failed', 30_000);
    await first.up();
    for (const subject of kept) await first.mail.one(subject, 40_000);
    await until(async () => (await waiting()) === 0, 'emails/failed to be empty');
  });
});
