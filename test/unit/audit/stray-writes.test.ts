import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AuditEvent, strayWrites } from '../../operator/audit.ts';

const at = (seconds: number): string => `2026-01-01T00:00:${seconds.toFixed(6).padStart(9, '0')}Z`;

function request(
  user: string,
  resource: string,
  [from, to]: readonly [number, number],
  holder?: string,
): AuditEvent {
  return {
    ...{ verb: 'update', stage: 'ResponseComplete', requestURI: '/', userAgent: 'mailrelay-operator/1' },
    user: { username: user },
    objectRef: { resource, namespace: 'n', name: 'x' },
    responseStatus: { code: 200 },
    requestReceivedTimestamp: at(from),
    stageTimestamp: at(to),
    ...(holder !== undefined && { responseObject: { spec: { holderIdentity: holder } } }),
  };
}

const claim = (user: string, from: number): AuditEvent => request(user, 'leases', [from, from + 0.1], user);
const release = (user: string, from: number): AuditEvent => request(user, 'leases', [from, from + 0.1], '');
const write = (user: string, from: number, to = from + 0.1): AuditEvent => request(user, 'pods', [from, to]);

describe('the proof from the audit log that one alone writes', () => {
  const history = [claim('a', 1), claim('a', 3), release('a', 6), claim('b', 8)];

  for (const [what, event, isStray] of [
    ['of the holder', write('a', 2), false],
    ['of the holder after it has renewed', write('a', 4), false],
    ['of the next holder', write('b', 9), false],
    ['before there was a holder', write('a', 0), true],
    ['while the claim was under way', write('a', 1.05), true],
    ['of somebody else', write('b', 4), true],
    ['after the lease was given back', write('a', 7), true],
    ['that was answered after it was given back', write('a', 5.9, 6.2), true],
    ['of one who held it before', write('a', 9), true],
  ] as const) {
    test(`${isStray ? 'finds' : 'lets pass'} a write ${what}`, () => {
      assert.equal(strayWrites([...history, event], 'x').length, isStray ? 1 : 0);
    });
  }
});
