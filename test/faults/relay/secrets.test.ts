/**
 * Whatever happens to passwords and messages, the program's output shows
 * neither: not in clear, not as AUTH writes them, at no level.
 */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { RelayProcess } from '../../clients/relay-process.ts';
import { authority, serverCertificate } from '../../smtp/certificates.ts';
import { startProvider } from '../../smtp/provider.ts';
import { until } from '../../smtp/wait.ts';

const SECRETS = {
  good: 'goodPassw0rd-7ba1',
  refused: 'refusedPassw0rd-91cc',
  echoed: 'echoedPassw0rd-aa02',
  fromFile: 'filePassw0rd-51ed',
  fromEnvironment: 'environmentPassw0rd-6d3f',
  client: 'clientPassw0rd-d4e5',
  guessed: 'guessedPassw0rd-f00d',
};
const USER = 'mail-user';
const CONTENT = ['subject-of-the-message-3c4d', 'text-of-the-message-1a2b'];

const base64 = (text: string): string => Buffer.from(text).toString('base64');

/** Every form in which a password crosses a line, without the end that depends on what follows. */
const formsOf = (password: string): string[] =>
  [password, base64(password), base64(`\0${USER}\0${password}`), encodeURIComponent(base64(password))].map(
    form => form.replace(/=+$/, ''),
  );

/** Repeats what it was given when it refuses, as some servers do. */
const echo = ({ line }: { readonly line: string }): string =>
  `535 5.7.8 I do not know ${line} and ${SECRETS.echoed}`;

test('no password and no message content is in the log at debug level', async t => {
  const tls = 'starttls';
  const users = (password: string) => ({ [USER]: password });
  const providers = await Promise.all([
    startProvider({ tls, users: users('another') }),
    startProvider({ tls, users: users('another'), script: { auth: echo } }),
    startProvider({ tls, users: users(SECRETS.fromFile), script: { mail: '451 4.3.0 later' } }),
    startProvider({
      tls,
      users: users(SECRETS.fromEnvironment),
      mechanisms: ['LOGIN'],
      script: { dot: '451 4.3.0 later' },
    }),
    startProvider({ tls, users: users(SECRETS.good) }),
  ]);
  const credentials = [
    { password: SECRETS.refused },
    { password: SECRETS.echoed },
    { passwordFile: 'password' },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: config.json's own notation
    { password: '${env:PROVIDER_PASSWORD}' },
    { password: SECRETS.good },
  ];
  const relay = await RelayProcess.create({
    providers: providers.map(({ host, port }, index) => ({
      name: `p${index}`,
      host,
      port,
      username: USER,
      ...credentials[index],
      tls: { caFile: 'ca.pem', serverName: 'localhost' },
    })),
    config: {
      logLevel: 'debug',
      listener: {
        hostname: 'relay.test',
        tls: { certificateFile: 'server.pem', keyFile: 'server.key' },
        auth: { accounts: [{ username: USER, password: SECRETS.client }] },
      },
    },
  });
  t.after(async () => {
    await relay.remove();
    await Promise.all(providers.map(provider => provider.close()));
  });
  const { certificate, key } = serverCertificate();
  await writeFile(join(relay.directory, 'server.pem'), certificate);
  await writeFile(join(relay.directory, 'server.key'), key);
  await writeFile(join(relay.directory, 'password'), `${SECRETS.fromFile}\n`);
  const run = await relay.start({ env: { PROVIDER_PASSWORD: SECRETS.fromEnvironment } });

  const client = await relay.connect();
  await client.startTls({ ca: authority().certificate, servername: 'localhost' });
  await client.command('EHLO client.test');
  assert.equal((await client.login(USER, SECRETS.guessed)).code, 535);
  assert.equal((await client.login(USER, SECRETS.client)).code, 235);
  const body = `Subject: ${CONTENT[0]}\r\n\r\n${CONTENT[1]}\r\n`;
  assert.equal((await client.send({ from: 'a@example.com', to: ['b@example.net'], body })).code, 250);
  await client.command(`AUTH PLAIN ${base64(`\0${USER}\0${SECRETS.guessed}`)}`);
  await client.command(`NONSENSE ${SECRETS.guessed}`);
  await client.quit();
  await until(() => providers[4]!.messages.length === 1, 'the mail at the last provider', 60_000);
  await run.until('provider-state', { provider: 'p1', state: 'suspended' });
  // A mistake beside a password: the message must not repeat the value.
  await relay.configure({ forwardProviders: [{ host: 'x', port: 1, pasword: SECRETS.refused }] });
  await run.until('config-rejected');
  const pages = await Promise.all(['/status', '/metrics'].map(path => relay.http(path)));
  const queue = await relay.http('/v1/queue', relay.adminPort);
  assert.equal((await relay.halt()).code, 0);

  const all = [relay.output, ...pages.map(({ text }) => text), queue.text].join('\n');
  assert.ok(run.log.length > 10, 'there is a log to look through');
  for (const form of Object.values(SECRETS).flatMap(formsOf)) {
    const at = all.indexOf(form);
    assert.equal(at, -1, `${form}: …${all.slice(Math.max(0, at - 200), at + 100)}`);
  }
  for (const text of CONTENT) assert.ok(!all.includes(text), text);
});
