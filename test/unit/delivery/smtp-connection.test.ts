import assert from 'node:assert/strict';
import { test } from 'node:test';
import NodemailerConnection from 'nodemailer/lib/smtp-connection';
import { SOCKET_LISTENERS } from '../../../relay/delivery/smtp-connection.ts';

// These are no public interface of nodemailer. When this fails after an
// update: read its lib/smtp-connection again, then handshake.ts.
test("nodemailer's SMTPConnection has the members that the handshake refines", () => {
  const prototype = NodemailerConnection.prototype as unknown as Record<string, unknown>;
  const lengths = [
    '_actionGreeting',
    '_actionEHLO',
    '_actionHELO',
    '_actionSTARTTLS',
    '_upgradeConnection',
  ].map(name => [name, (prototype[name] as { length?: number } | undefined)?.length]);
  assert.deepEqual(lengths, [
    ['_actionGreeting', 1],
    ['_actionEHLO', 1],
    ['_actionHELO', 1],
    ['_actionSTARTTLS', 1],
    ['_upgradeConnection', 1],
  ]);
});

test('it has the listeners and the reply state by which its socket is taken over', () => {
  const connection = new NodemailerConnection({ host: 'x.test' }) as unknown as Record<string, unknown>;
  for (const name of Object.values(SOCKET_LISTENERS)) assert.equal(typeof connection[name], 'function', name);
  assert.equal(connection['_remainder'], '');
  assert.deepEqual(connection['_responseQueue'], []);
  assert.equal(connection['lastServerResponse'], false);
});
