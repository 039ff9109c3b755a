import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSession } from '../../../relay/delivery/connection.ts';
import { authority } from '../../smtp/certificates.ts';
import { startProvider } from '../../smtp/provider.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import { text } from '../spool/fixture.ts';

const envelope = { sender: 'from@a.test', recipients: ['to@b.test'], eightBit: false, smtpUtf8: false };

/** Chunks as the spool gives them: each with memory of its own. */
function chunks(count: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const chunk = text(78 * 2500 + 78 * index);
    const own = Buffer.allocUnsafeSlow(chunk.length);
    chunk.copy(own);
    return own;
  });
}

async function* each(source: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* source;
}

for (const tls of ['none', 'implicit'] as const) {
  test(`TLS ${tls}: chunks go out whole, and their memory is given back when the provider has them`, async t => {
    const provider = await startProvider({ tls });
    t.after(() => provider.close());
    const config = providerConfig(provider, {
      ssl: tls === 'implicit',
      tls: { ca: authority().certificate },
    });
    const session = await openSession(config, new AbortController().signal);
    t.after(() => session.destroy());
    const source = chunks(8);
    const body = Buffer.concat(source);
    const report = await session.transact({ ...envelope, size: body.length }, each(source));
    assert.equal(report.accepted?.code, 250);
    assert.deepEqual(provider.messages[0]?.body, body);
    assert.deepEqual(
      source.map(({ buffer }) => buffer.byteLength),
      source.map(() => 0),
    );
  });

  test(`TLS ${tls}: a body that is kept for another try stays as it is`, async t => {
    const provider = await startProvider({ tls });
    t.after(() => provider.close());
    const config = providerConfig(provider, {
      ssl: tls === 'implicit',
      tls: { ca: authority().certificate },
    });
    const session = await openSession(config, new AbortController().signal);
    t.after(() => session.destroy());
    const body = chunks(1)[0] as Buffer;
    for (let time = 0; time < 2; time++) {
      const report = await session.transact({ ...envelope, size: body.length }, body);
      assert.equal(report.accepted?.code, 250);
      assert.deepEqual(provider.messages[time]?.body, text(body.length));
    }
  });
}
