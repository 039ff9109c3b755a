import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type BareNewlineMode, DataDecoder } from '../../../relay/inbound/data-decoder.ts';

interface Decoded {
  readonly content: string;
  readonly ended: boolean;
  readonly rest: string;
  readonly bare: boolean;
}

/** Feeds wire bytes cut at the given places. */
function decode(wire: string, cuts: readonly number[], mode: BareNewlineMode): Decoded {
  const decoder = new DataDecoder(mode);
  const content: Buffer[] = [];
  const places = [...new Set(cuts.map(cut => cut % (wire.length + 1)))].sort((a, b) => a - b);
  let from = 0;
  let rest = '';
  for (const to of [...places, wire.length]) {
    if (decoder.ended) {
      rest += wire.slice(from, to);
    } else {
      content.push(
        ...decoder.decode(Buffer.from(wire.slice(from, to), 'latin1')).map(part => Buffer.from(part)),
      );
      rest += decoder.rest?.toString('latin1') ?? '';
    }
    from = to;
  }
  return {
    content: Buffer.concat(content).toString('latin1'),
    ended: decoder.ended,
    rest,
    bare: decoder.bareNewline,
  };
}

/** The same, as RFC 5321 says it, on the whole text at once; undefined when there is no end. */
function reference(wire: string, mode: BareNewlineMode): Decoded | undefined {
  const framed = `\r\n${wire}`;
  const end = framed.indexOf('\r\n.\r\n');
  if (end < 0) return undefined;
  const raw = framed
    .slice(0, end + 2)
    .replaceAll('\r\n.', '\r\n')
    .slice(2);
  const bare = /\r(?!\n)|(?<!\r)\n/;
  return {
    content: mode === 'normalize' ? raw.replace(/\r(?!\n)|(?<!\r)\n/g, '\r\n') : raw,
    ended: true,
    rest: framed.slice(end + 5),
    bare: bare.test(raw),
  };
}

function encode(content: string): string {
  return `\r\n${content}`.replaceAll('\r\n.', '\r\n..').slice(2);
}

/** Text in which everything that matters is frequent. */
const nasty = fc.stringMatching(/^[\r\n.a\0]{0,40}$/);
const alphabet = fc.array(fc.constantFrom('\r\n', '\r', '\n', '.', '\r\n.', 'a', '\0', 'some longer text'), {
  maxLength: 60,
});
const wires = fc.oneof(
  nasty,
  alphabet.map(parts => parts.join('')),
);
const cuts = fc.array(fc.nat(), { maxLength: 12 });
const modes = fc.constantFrom<BareNewlineMode>('keep', 'normalize');

describe('the data decoder', () => {
  test('gives back whatever was encoded, however it is cut', () => {
    fc.assert(
      fc.property(alphabet, cuts, (parts, places) => {
        const content = `${parts.join('').replace(/\r(?!\n)|(?<!\r)\n/g, '')}\r\n`;
        const decoded = decode(`${encode(content)}.\r\nQUIT\r\n`, places, 'keep');
        assert.deepEqual(decoded, { content, ended: true, rest: 'QUIT\r\n', bare: false });
      }),
      { numRuns: 2000 },
    );
  });

  test('agrees with a naive reading of the standard on any bytes, however they are cut', () => {
    fc.assert(
      fc.property(wires, cuts, modes, (wire, places, mode) => {
        const whole = `${wire}\r\n.\r\nNOOP\r\n`;
        assert.deepEqual(decode(whole, places, mode), reference(whole, mode));
      }),
      { numRuns: 5000 },
    );
  });

  test('sees no end where there is none, and passes on all but the last two bytes', () => {
    fc.assert(
      fc.property(wires, cuts, (wire, places) => {
        fc.pre(reference(wire, 'keep') === undefined);
        const decoded = decode(wire, places, 'keep');
        assert.equal(decoded.ended, false);
        const full = reference(`${wire}\r\n.\r\n`, 'keep')?.content ?? '';
        assert.ok(full.startsWith(decoded.content) || wire.endsWith('\r\n.\r'));
      }),
      { numRuns: 2000 },
    );
  });

  test('never ends at anything but CRLF.CRLF, byte by byte, for every combination around the dot', () => {
    const ends = ['\r', '\n', '\r\n', '\n\r', '\r\r', '\n\n', '\0', '\r\0\n', '\r\0', '\n\0', ' ', ''];
    for (const before of ends) {
      for (const after of ends) {
        const wire = `text${before}.${after}MAIL FROM:<>`;
        const isTerminator = wire.includes('\r\n.\r\n');
        for (const mode of ['keep', 'normalize'] as const) {
          const decoded = decode(
            wire,
            [...wire].map((_, index) => index),
            mode,
          );
          assert.equal(decoded.ended, isTerminator, JSON.stringify(wire));
        }
      }
    }
  });

  test('does not remove a dot after a bare LF or CR', () => {
    assert.equal(decode('a\n..b\r..c\r\n..d\r\n.\r\n', [], 'keep').content, 'a\n..b\r..c\r\n.d\r\n');
    assert.equal(decode('a\n..b\r\n.\r\n', [], 'normalize').content, 'a\r\n..b\r\n');
  });

  test('takes a message of no bytes', () => {
    assert.deepEqual(decode('.\r\nQUIT', [], 'keep'), {
      content: '',
      ended: true,
      rest: 'QUIT',
      bare: false,
    });
  });

  test('decodes 8 MB of nothing but stuffed dots without a search for each', () => {
    const chunk = Buffer.from('..\r\n'.repeat(16_384));
    const decoder = new DataDecoder('keep');
    let bytes = 0;
    const before = process.cpuUsage();
    for (let i = 0; i < 128; i++) for (const part of decoder.decode(Buffer.from(chunk))) bytes += part.length;
    const { user } = process.cpuUsage(before);
    assert.equal(bytes, 128 * 16_384 * 3);
    assert.ok(user < 2_000_000, `${user} µs`);
  });
});
