/** What a flooding child (child.ts) said that it was promised, and whether a spool keeps it. */
import assert from 'node:assert/strict';
import type { MessageId } from '../../../relay/spool/message.ts';
import type { Spool } from '../../../relay/spool/spool.ts';
import { bodyOf, text } from '../../unit/spool/fixture.ts';

export class Promises {
  /** Accepted, and not over: the size. */
  readonly kept = new Map<MessageId, number>();
  /** Of those, the ones whose failed round was acknowledged. */
  readonly failed = new Set<MessageId>();
  /** Over, which was acknowledged. One that was being ended is in none of the three. */
  readonly ended = new Set<MessageId>();
  count = 0;

  hear(lines: readonly string[]): void {
    for (const line of lines) this.#hear(line.split(' ') as [string, MessageId, string]);
  }

  #hear([word, id, size]: [string, MessageId, string]): void {
    if (word === 'kept') this.kept.set(id, Number(size));
    else if (word === 'failed') this.failed.add(id);
    else if (word === 'ended') this.ended.add(id);
    else if (word === 'ending') {
      this.kept.delete(id);
      this.failed.delete(id);
    } else return;
    this.count++;
  }

  /** Who was accepted is there, whole and where it was said to be; who is over does not come back, to be sent again. */
  async check(spool: Spool): Promise<void> {
    const found = new Map((await spool.list({})).map(message => [message.id, message.state]));
    for (const [id, size] of this.kept) {
      assert.ok(found.has(id), `${id} is lost`);
      // Not deepEqual: describing how two large bodies differ takes minutes.
      assert.ok((await bodyOf(spool, id)).equals(text(size)), `${id} is not what it was`);
    }
    for (const id of this.failed) assert.equal(found.get(id), 'failed');
    for (const id of this.ended) assert.ok(!found.has(id), `${id} was over and is back`);
  }

  toString(): string {
    return `${this.kept.size} accepted, ${this.failed.size} of them failed; ${this.ended.size} over`;
  }
}
