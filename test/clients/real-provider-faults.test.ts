/**
 * Postfix and Exim as providers that are in trouble: a password they refuse, a
 * certificate that nobody vouches for, processes that have ended. The other
 * provider gets the mail; what carries many messages is one connection.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authority } from '../smtp/certificates.ts';
import { until } from '../smtp/wait.ts';
import type { Kind } from './real-provider.ts';
import { entryOf, KINDS, letter, openRig, type Rig, send } from './rig.ts';

const trouble = KINDS.map(kind => kind.missing()).find(reason => reason !== undefined);

async function stateOf(rig: Rig, provider: string): Promise<string | undefined> {
  const { text } = await rig.relay.http('/status');
  const { providers } = JSON.parse(text) as { providers: { name: string; state: string }[] };
  return providers.find(({ name }) => name === provider)?.state;
}

/** The mail is at the second provider alone; the first has never heard of it. */
async function assertFailedOver(rig: Rig, subject: string): Promise<void> {
  await rig.providers[1]!.mail.one(subject);
  assert.deepEqual(await rig.providers[0]!.mail.read(), []);
}

function faultsOf(kind: Kind, other: Kind): void {
  test('a refused password suspends it after one try, and the next provider gets the mail', async () => {
    await using rig = await openRig([{ kind, entry: { password: 'wrong' } }, { kind: other }]);
    const id = await send(rig.relay, { subject: 'password' });
    await assertFailedOver(rig, 'password');
    const { class: failure, code } = await rig.relay.run.until('attempt', {
      provider: kind.name,
      stage: 'auth',
    });
    assert.deepEqual([failure, code], ['authentication', 535]);
    await send(rig.relay, { subject: 'again' });
    await rig.providers[1]!.mail.one('again');
    assert.equal(rig.relay.run.heard('attempt', { provider: kind.name }).length, 1);
    assert.equal(await stateOf(rig, kind.name), 'suspended');
    await rig.relay.run.until('recipient-delivered', { id, provider: other.name });
  });

  test('the right password, written into config.json, brings it back', async () => {
    await using rig = await openRig([{ kind, entry: { password: 'wrong' } }]);
    const id = await send(rig.relay, { subject: 'mended' });
    await rig.relay.run.until('round-failed', { id });
    await rig.relay.configure({ forwardProviders: [entryOf(rig.providers[0]!)] });
    await rig.providers[0]!.mail.one('mended');
  });

  for (const [what, certificate] of [
    ['signed by nobody we trust', () => authority().issue({ selfSigned: true })],
    ['expired', () => authority().issue({ expired: true })],
    ['for another name', () => authority().issue({ names: ['mail.example.org'] })],
  ] as const) {
    test(`with a certificate ${what} it gets neither password nor mail`, async () => {
      await using rig = await openRig([{ kind, certificate: certificate() }, { kind: other }]);
      await send(rig.relay, { subject: 'certificate' });
      await assertFailedOver(rig, 'certificate');
      const { class: failure } = await rig.relay.run.until('attempt', { provider: kind.name });
      assert.equal(failure, 'tls');
      assert.equal(await stateOf(rig, kind.name), 'failing');
      assert.doesNotMatch(await rig.providers[0]!.log(), /auth=|A=plain|authenticator failed/i);
    });
  }

  test('when it ends, mail goes to the other, and comes back to it when it runs again', async () => {
    await using rig = await openRig([{ kind }, { kind: other }]);
    await send(rig.relay, { subject: 'before' });
    await rig.providers[0]!.mail.one('before');
    await rig.providers[0]!.down();
    await send(rig.relay, { subject: 'during' });
    await rig.providers[1]!.mail.one('during');
    await rig.providers[0]!.up();
    const isBack = async (): Promise<boolean> => (await stateOf(rig, kind.name)) === 'active';
    await until(isBack, `${kind.name} to be used again`, 30_000);
    await send(rig.relay, { subject: 'after' });
    await rig.providers[0]!.mail.one('after');
    assert.equal((await rig.providers[1]!.mail.read()).length, 1);
  });

  test('many messages of one client go over few connections, each arrives once', async () => {
    await using rig = await openRig([{ kind, entry: { limits: { maxConnections: 2 } } }]);
    const client = await rig.relay.connect();
    const subjects = Array.from({ length: 40 }, (_, index) => `many-${index}`);
    for (const subject of subjects) {
      const reply = await client.send({
        from: 'app@example.com',
        to: ['a@example.net'],
        body: letter({ subject }),
      });
      assert.equal(reply.code, 250);
    }
    await client.quit();
    const { mail } = rig.providers[0]!;
    await until(async () => (await mail.read()).length >= subjects.length, 'all mail', 30_000);
    const arrived = (await mail.read()).map(({ given }) => /Subject: (\S+)/.exec(given.toString())?.[1]);
    assert.deepEqual(arrived.sort(), subjects.toSorted());
    const logins = (await rig.providers[0]!.log()).match(
      kind.name === 'postfix' ? /: connect from/g : /SMTP connection from \[/g,
    );
    // Two by the start of the provider itself, the relay's own after that.
    assert.ok(logins !== null && logins.length <= 4, `${logins?.length} connections`);
  });
}

for (const [index, kind] of KINDS.entries()) {
  const other = KINDS[1 - index]!;
  describe(`${kind.name} in trouble, ${other.name} behind it`, { skip: trouble ?? false }, () =>
    faultsOf(kind, other),
  );
}

describe('both real providers', { skip: trouble ?? false }, () => {
  test('when neither runs, mail waits in emails/failed and goes as soon as one runs', async () => {
    await using rig = await openRig(KINDS.map(kind => ({ kind })));
    await Promise.all(rig.providers.map(provider => provider.down()));
    const id = await send(rig.relay, { subject: 'waiting' });
    await rig.relay.run.until('round-failed', { id });
    await rig.providers[1]!.up();
    await rig.providers[1]!.mail.one('waiting', 40_000);
    await rig.relay.run.until('recipient-delivered', { id, provider: KINDS[1]!.name });
  });
});
