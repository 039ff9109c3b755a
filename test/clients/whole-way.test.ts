/**
 * The whole way with nothing of ours at either end: mail programs that no one
 * here wrote, the relay in a process of its own, Postfix or Exim behind it.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serverCertificate } from '../smtp/certificates.ts';
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
