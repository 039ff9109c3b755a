import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DotStuffer } from '../../../relay/delivery/dot-stuffing.ts';
import { unstuff } from '../../smtp/record.ts';

function stuff(...chunks: readonly Buffer[]): Buffer {
  const stuffer = new DotStuffer();
  return Buffer.concat([...chunks.flatMap(chunk => stuffer.push(chunk)), stuffer.end()]);
}

/** What it should do, slowly and without chunks. */
function reference(body: string): string {
  const canonical = body.replace(/\r\n|\r|\n/g, '\r\n');
  const stuffed = canonical.replace(/^\./gm, '..');
  return `${stuffed === '' || stuffed.endsWith('\r\n') ? stuffed : `${stuffed}\r\n`}.\r\n`;
}

/** Cuts a body at positions that are fractions of its length. */
function cut(body: Buffer, fractions: readonly number[]): Buffer[] {
  const at = [0, ...fractions.map(fraction => Math.floor(fraction * body.length)), body.length];
  const ends = at.toSorted((a, b) => a - b);
  return ends.slice(1).map((end, index) => body.subarray(ends[index], end));
}

// Mostly the bytes that matter, so that every neighbourhood of them occurs.
const bytes = fc
  .array(fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', 'a', 'bcdef', '\t', '\u00e9', '\u0080'), {
    maxLength: 60,
  })
  .map(parts => parts.join(''));
const fractions = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

describe('dot-stuffing', () => {
  test('does what the plain reference does, however the body is cut', () => {
    fc.assert(
      fc.property(bytes, fractions, (text, places) => {
        const wire = stuff(...cut(Buffer.from(text, 'latin1'), places)).toString('latin1');
        assert.equal(wire, reference(text));
      }),
      { numRuns: 3000 },
    );
  });

  test('lets no bare CR, bare LF or early CRLF.CRLF out, whatever comes in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fractions, (raw, places) => {
        const wire = stuff(...cut(Buffer.from(raw), places)).toString('latin1');
        assert.doesNotMatch(wire, /\r(?!\n)|(?<!\r)\n/);
        assert.equal(`\r\n${wire}`.indexOf('\r\n.\r\n'), wire.length - 3, wire);
      }),
      { numRuns: 2000 },
    );
  });

  test('is undone by the receiver, byte for byte, for a canonical body', () => {
    fc.assert(
      fc.property(bytes, fractions, (text, places) => {
        const canonical = text.replace(/\r\n|\r|\n/g, '\r\n').replace(/(?<!\r\n)$/, '\r\n');
        const body = Buffer.from(canonical, 'latin1');
        const wire = stuff(...cut(body, places));
        assert.deepEqual(unstuff(wire.subarray(0, -3)), body);
      }),
    );
  });

  test('every alignment in memory is looked at alike', () => {
    const text = 'ab\r\n.cd\nef\rgh\r\n';
    for (let offset = 0; offset < 8; offset++) {
      const memory = Buffer.alloc(64);
      memory.write(text, offset, 'latin1');
      const wire = stuff(memory.subarray(offset, offset + text.length));
      assert.equal(wire.toString('latin1'), reference(text));
    }
  });

  test('a canonical chunk without leading dots passes uncopied', () => {
    const body = Buffer.from('Subject: x\r\n\r\nplain text. with dots.\r\n');
    const [piece, ...rest] = new DotStuffer().push(body);
    assert.equal(piece, body);
    assert.deepEqual(rest, []);
  });

  test('an empty body is a lone dot', () => {
    assert.equal(stuff().toString(), '.\r\n');
  });

  test('the known smuggling sequences all arrive as text of one message', () => {
    for (const end of [
      '\n.\n',
      '\n.\r\n',
      '\r.\r',
      '\r.\r\n',
      '\r\n.\n',
      '\r\n.\r',
      '\n.\r',
      '\r\n\0.\r\n',
    ]) {
      const wire = stuff(Buffer.from(`one${end}MAIL FROM:<evil@example.com>\r\n`)).toString();
      assert.equal(wire.indexOf('\r\n.\r\n'), wire.length - 5, JSON.stringify(end));
    }
  });

  test('a flood of lines that begin with dots costs time in proportion', () => {
    const flood = Buffer.from('..\r\n'.repeat(500_000));
    const before = process.cpuUsage();
    const wire = stuff(flood);
    assert.equal(wire.length, flood.length + 500_000 + 3);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 3_000_000, `${user + system} µs`);
  });
});
