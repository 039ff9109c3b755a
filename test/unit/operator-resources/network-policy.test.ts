import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { MailRelaySpecInput } from '../../../operator/api/schema.ts';
import { networkPolicy } from '../../../operator/resources/network-policy.ts';
import { everythingSpec, minimalSpec, relayOf } from '../operator-api/relays.ts';
import { contextOf } from './contexts.ts';

function policyOf(spec: MailRelaySpecInput) {
  const relay = relayOf(spec);
  return networkPolicy(relay, contextOf(relay));
}
const sendersOf = (spec: MailRelaySpecInput) => policyOf(spec)?.spec?.ingress?.[0]?.from;

describe('the network policy', () => {
  test('lets pods and the allowed networks send, loopback aside', () => {
    const listener = { allowedNetworks: ['127.0.0.0/8', '::1/128', '10.0.0.0/8', '203.0.113.7'] };
    assert.deepEqual(sendersOf({ ...minimalSpec, listener }), [
      { namespaceSelector: {} },
      { ipBlock: { cidr: '10.0.0.0/8' } },
      { ipBlock: { cidr: '203.0.113.7/32' } },
    ]);
  });

  test('lets anybody try who may log in', () => {
    assert.equal(sendersOf({ ...minimalSpec, listener: { auth: { secretRef: { name: 'a' } } } }), undefined);
  });

  test('lets only those send that are named', () => {
    const from = [{ podSelector: { matchLabels: { app: 'shop' } } }, { ipBlock: { cidr: '192.0.2.1' } }];
    assert.deepEqual(sendersOf({ ...minimalSpec, networkPolicy: { from } }), [
      { podSelector: { matchLabels: { app: 'shop' } } },
      { ipBlock: { cidr: '192.0.2.1/32' } },
    ]);
    assert.equal(sendersOf(everythingSpec)?.length, 2, 'a list of senders counts for those who log in, too');
  });

  test('shows metrics and status to the operator and to monitoring alone', () => {
    const http = policyOf(minimalSpec)?.spec?.ingress?.[1];
    assert.deepEqual(http?.ports, [{ port: 'http', protocol: 'TCP' }]);
    assert.deepEqual(
      http?.from?.map(({ namespaceSelector }) => namespaceSelector?.matchLabels),
      [
        { 'kubernetes.io/metadata.name': 'mailrelay-system' },
        { 'kubernetes.io/metadata.name': 'monitoring' },
      ],
    );
  });

  test('lets the relay out to DNS and to the ports of its providers, each once', () => {
    const ports = policyOf(everythingSpec)?.spec?.egress?.map(rule => rule.ports?.map(({ port }) => port));
    assert.deepEqual(ports, [
      [53, 53, 5353, 5353],
      [25, 465, 587],
    ]);
    const none = policyOf({ forwardSMTP: false })?.spec?.egress;
    assert.equal(none?.length, 1, 'an empty rule would let everything out');
  });

  test('is not there where it is switched off', () => {
    assert.equal(policyOf({ ...minimalSpec, networkPolicy: { enabled: false } }), undefined);
  });
});
