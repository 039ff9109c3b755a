import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { canonicalLines } from '../../../relay/spool/canonical.ts';

async function canonical(chunks: readonly string[]): Promise<string> {
  async function* source() {
    for (const chunk of chunks) yield Buffer.from(chunk, 'latin1');
  }
  let out = '';
  for await (const chunk of canonicalLines(source())) out += chunk.toString('latin1');
  return out;
}

describe('line ends of a body that people may have edited', () => {
  const cases: readonly [string, readonly string[], string][] = [
    ['stay when canonical', ['a\r\nb\r\n'], 'a\r\nb\r\n'],
    ['are made of a bare LF', ['a\nb\n'], 'a\r\nb\r\n'],
    ['are made of a bare CR', ['a\rb\r'], 'a\r\nb\r\n'],
    ['end a last line without one', ['a\r\nb'], 'a\r\nb\r\n'],
    ['stay whole over a chunk border', ['a\r', '\nb\r', '\n'], 'a\r\nb\r\n'],
    ['are not made of nothing', [''], ''],
    ['count twice when CR CR LF', ['a\r\r\nb\r\n'], 'a\r\n\r\nb\r\n'],
    ['are made of LF CR', ['a\n\rb\r\n'], 'a\r\n\r\nb\r\n'],
  ];
  for (const [title, input, expected] of cases) {
    test(title, async () => assert.equal(await canonical(input), expected));
  }

  test('come out the same however the text is cut', async () => {
    const piece = fc.constantFrom('\r', '\n', 'x', 'yy', '\r\n', '.');
    await fc.assert(
      fc.asyncProperty(fc.array(piece), fc.array(fc.nat(20)), async (pieces, cuts) => {
        const whole = pieces.join('');
        const expected = whole.replace(/\r\n|\r|\n/g, '\r\n').replace(/([^\n])$/, '$1\r\n');
        const chunks: string[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(whole.slice(at, at + cut));
          at += cut;
        }
        chunks.push(whole.slice(at));
        assert.equal(await canonical(chunks), expected);
      }),
      { numRuns: 300 },
    );
  });
});
