/**
 * A process that owns a spool and does one thing to it, told by its
 * arguments: directory, what to do, file that arms the kill. Prints a line
 * for each promise that was kept to it.
 */
import { existsSync, writeFileSync, writeSync } from 'node:fs';
import type { MessageId } from '../../../relay/spool/message.ts';
import { openSpool } from '../../../relay/spool/open.ts';
import { bury, fail, over, owe, pending, put, START, text } from '../../unit/spool/fixture.ts';

const [directory = '', what = '', arm = ''] = process.argv.slice(2);

/** Whole and at once, for the next thing may be the end of this process: a pipe that is full is waited for. */
function say(line: string): void {
  let rest = Buffer.from(`${line}\n`);
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

const spool = await openSpool({
  directory,
  maxMessageBytes: 50_000_000,
  reserveBytes: 0,
  retention: { ageMs: 1e12, maxMessages: 1e9, maxBytes: 1e15 },
  now: Date.now,
  emit: event => say(`event ${JSON.stringify(event)}`),
  worker: new URL('./faulty-worker.ts', import.meta.url),
}).catch(error => {
  say(`refused ${error.kind} ${error.message}`);
  process.exit(3);
});
say('open');

const SMALL = text(5000);
const LARGE = text(700_000);

/** The message that the work is about, brought to where the work begins. */
async function prepare(): Promise<MessageId> {
  const id = await put(spool, what.endsWith('large') ? LARGE : SMALL);
  if (what.includes('of-failed')) await fail(spool, id, START);
  if (what.includes('of-dead')) await bury(spool, id);
  return id;
}

const WORK: Record<string, (id: MessageId) => Promise<unknown>> = {
  accept: () => put(spool, SMALL),
  'accept-large': () => put(spool, LARGE),
  progress: id => spool.settle(id, { kind: 'progress', recipients: pending }),
  bounce: id => owe(spool, id, SMALL),
  done: id => spool.settle(id, { kind: 'done', recipients: over }),
  'done-large': id => spool.settle(id, { kind: 'done', recipients: over }),
  'done-of-failed': id => spool.settle(id, { kind: 'done', recipients: over }).then(() => spool.sweep(0)),
  'end-of-failed': id => spool.settle(id, { kind: 'done', recipients: over }),
  failed: id => fail(spool, id, START),
  'failed-large': id => fail(spool, id, START),
  dead: id => bury(spool, id),
  'dead-of-failed': id => bury(spool, id),
  'resend-of-dead': () => spool.resend({}),
  'remove-of-dead': () => spool.remove({}),
};

async function flood(count = Number.POSITIVE_INFINITY): Promise<void> {
  for (let i = 0; i < count; i++) {
    const size = i % 50 === 0 ? 600_000 + i : (i * 97) % 9000;
    const id = await put(spool, text(size));
    say(`kept ${id} ${size}`);
    if (i % 3 === 0) {
      await fail(spool, id, START);
      say(`failed ${id}`);
    }
    // Of those whose body is a file by now every other one, and some of the rest.
    if (i % 6 === 0 || i % 7 === 0) {
      say(`ending ${id}`);
      await spool.settle(id, { kind: 'done', recipients: over });
      say(`ended ${id}`);
    }
  }
}

/** A disk that was full is looked at again within a second. */
async function again(tries: number): Promise<MessageId> {
  try {
    return await put(spool, text(10));
  } catch (error) {
    if ((error as { kind?: string }).kind !== 'disk-full' || tries === 0) throw error;
    await new Promise(resolve => setTimeout(resolve, 50));
    return again(tries - 1);
  }
}

/** A large message of which the end never comes. */
async function beginLarge(): Promise<void> {
  const draft = spool.begin();
  for (let written = 0; written < LARGE.length; written += 65_536) await draft.write(text(65_536));
}

async function fill(): Promise<void> {
  for (let i = 0; i < 100_000 && !existsSync(arm); i++) {
    try {
      const id = await put(spool, text(3000 + i));
      say(`kept ${id} ${3000 + i}`);
    } catch (error) {
      say(`refused ${(error as { kind?: string }).kind} ${(error as Error).message}`);
      break;
    }
  }
  say(`failure ${spool.failure() ?? 'none'}`);
  await again(100).then(
    id => say(`kept ${id} 10`),
    error => say(`refused ${error.kind} ${error.message}`),
  );
}

if (what === 'flood') {
  await Promise.all([flood(), flood(), flood(), flood()]);
} else if (what === 'a-while') {
  await Promise.all([flood(110), flood(110), flood(110)]);
  await spool.close();
} else if (what === 'fill' || what === 'begin-and-fill') {
  if (what === 'begin-and-fill') await beginLarge();
  await fill();
  await spool.close();
} else if (what === 'open') {
  await spool.close();
} else if (what === 'begin-and-hold') {
  await beginLarge();
  say(`kept ${await put(spool, SMALL)} ${SMALL.length}`);
  setInterval(() => undefined, 1000);
} else if (what === 'hold') {
  setInterval(() => undefined, 1000);
} else {
  const id = await prepare();
  say(`prepared ${id}`);
  const { SPOOL_WAIT = '' } = process.env;
  while (SPOOL_WAIT !== '' && !existsSync(SPOOL_WAIT)) await new Promise(resolve => setTimeout(resolve, 10));
  writeFileSync(arm, '');
  const refused = await WORK[what]?.(id).then(
    () => undefined,
    error => `refused ${error.kind} ${error.message}`,
  );
  say(refused ?? 'done');
  await spool.close();
  process.exit(refused === undefined ? 0 : 3);
}
