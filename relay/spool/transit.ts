/**
 * Bodies on their way between the threads: given away, not copied, and
 * returned to the system as soon as they are used. The collector would let
 * 30 MB of them pile up in each thread, since what lies outside of its heap
 * hardly makes it run: docs/decisions/0006-memory-and-processor.md has the measurement.
 */
import type { Report } from './protocol.ts';

/** Below this a copy costs less than giving away does. */
const WORTH_BYTES = 16 * 1024;

/** What of a report can be given away with it: chunks that were read. */
export function transferable(report: Report): ArrayBuffer[] {
  if (report.type !== 'answers') return [];
  const buffers: ArrayBuffer[] = [];
  for (const answer of report.answers) {
    if ('value' in answer && answer.value instanceof Uint8Array && isWhole(answer.value)) {
      buffers.push(answer.value.buffer);
    }
  }
  return buffers;
}

/** Gives the memory back now. Nobody may use the data, nor anything else in its buffer, afterwards. */
export function discard(data: Uint8Array): void {
  if (isWhole(data)) data.buffer.transfer(0);
}

function isWhole(data: Uint8Array): data is Uint8Array<ArrayBuffer> {
  const { buffer, byteLength } = data;
  return byteLength >= WORTH_BYTES && buffer instanceof ArrayBuffer && buffer.byteLength === byteLength;
}
