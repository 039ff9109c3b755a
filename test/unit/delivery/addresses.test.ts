import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { maskAddresses } from '../../../relay/delivery/addresses.ts';

describe('what a provider says, without the addresses in it', () => {
  const cases: readonly (readonly [said: string, masked: string])[] = [
    ['550 5.1.1 <bob@example.com>: unknown', '550 5.1.1 <[address]>: unknown'],
    ["550 bob.o'brien+tag@mail.example.com... User unknown", '550 [address] User unknown'],
    ['550 "bob \\" smith"@example.com is unknown', '550 [address] is unknown'],
    ['550 (bob@[192.0.2.1]), bob@[IPv6:2001:db8::1]; gone', '550 ([address]), [address]; gone'],
    ['554 rfc822;bob@example.com: no', '554 rfc822;[address]: no'],
    ['550 <böb@exämple.中国> unbekannt', '550 <[address]> unbekannt'],
    ['450 bounce+bob=example.com@list.example throttled', '450 [address] throttled'],
    ['550 <@a.example,@b.example:bob@example.com> no', '550 <[address]> no'],
    ['550 <bob@example.com', '550 <[address]'],
    ['421 4.7.0 mx1.example.com: 3 < 5 @ noon', '421 4.7.0 mx1.example.com: 3 < 5 @ noon'],
    ['connect: connection refused', 'connect: connection refused'],
  ];
  for (const [said, masked] of cases) {
    test(`${said} is told as ${masked}`, () => assert.equal(maskAddresses(said), masked));
  }

  test('names nobody, whoever is meant and wherever it stands', () => {
    const atom = fc.stringMatching(/^[a-z0-9!#$%&'*+/=?^_{|}~-]{3,12}$/);
    const text = fc.string({ maxLength: 10 }).filter(each => !/[@\\"]/.test(each));
    fc.assert(
      fc.property(text, atom, atom, text, (before, local, domain, after) => {
        const masked = maskAddresses(`${before} <${local}@${domain}.example> ${after}`);
        assert.equal(masked, `${before} <[address]> ${after}`);
      }),
    );
  });
});
