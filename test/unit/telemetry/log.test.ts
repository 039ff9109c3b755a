import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { describe, mock, test } from 'node:test';
import { promisify } from 'node:util';
import { catalogue } from '../../../relay/telemetry/catalogue.ts';
import type { Refused, RelayEvent } from '../../../relay/telemetry/events.ts';
import { createLog, type LogOptions } from '../../../relay/telemetry/log.ts';
import { printable, redacted, secretPattern } from '../../../relay/telemetry/printable.ts';
import { windowMs } from '../../../relay/telemetry/repeats.ts';
import { accepted, attempt, everyEvent } from './events.ts';

const noon = Date.parse('2026-01-31T12:00:01.234Z');

function collect(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const stream = { write: (line: string) => lines.push(line) };
  const log = createLog({ level: 'debug', stream, now: () => noon, ...options });
  return { log, lines, json: () => lines.map(line => JSON.parse(line) as Record<string, unknown>) };
}

describe('the JSON log', () => {
  test('writes one line per event with level, ISO time, event and every field', () => {
    const { log, lines, json } = collect();
    log.emit(accepted);
    assert.deepEqual(json(), [{ level: 'info', time: '2026-01-31T12:00:01.234Z', ...accepted }]);
    assert.ok(lines[0]!.endsWith('}\n'));
  });

  test('takes every event of the catalogue, each on one line', () => {
    const { log, lines, json } = collect();
    for (const event of everyEvent) log.emit(event);
    assert.deepEqual(new Set(json().map(line => line['event'])), new Set(Object.keys(catalogue)));
    for (const line of lines) assert.equal(line.indexOf('\n'), line.length - 1);
  });

  test('raises the level of an attempt that did not deliver and of a provider that went out of use', () => {
    const { log, json } = collect();
    log.emit(attempt);
    log.emit({ ...attempt, outcome: 'delivered' });
    const state = {
      event: 'provider-state',
      provider: 'p',
      previous: 'failing',
      reason: '',
      message: '',
    } as const;
    log.emit({ ...state, state: 'suspended' });
    log.emit({ ...state, state: 'active' });
    assert.deepEqual(
      json().map(line => line['level']),
      ['warn', 'info', 'warn', 'info'],
    );
  });

  test('drops what is below its level, and a reload can change that', () => {
    const { log, lines } = collect({ level: 'warn' });
    log.emit(accepted);
    assert.equal(lines.length, 0);
    log.configure({ level: 'info' });
    log.emit(accepted);
    assert.equal(lines.length, 1);
  });

  test('escapes control, line and bidirectional characters and cuts long replies', () => {
    const { log, lines, json } = collect();
    log.emit({ ...attempt, reply: `\u001b[2J\r\nforged\u009b\u2028\u202e${'x'.repeat(600)}` });
    const reply = String(json()[0]!['reply']);
    assert.ok(reply.startsWith('\\x1b[2J\\x0d\\x0aforged\\x9b\\u2028\\u202exxx'));
    assert.ok(reply.endsWith('…'));
    assert.ok(reply.length < 560);
    assert.equal(lines.length, 1);
  });

  test('never contains a secret it was told of, whichever event echoes it and in whichever form', () => {
    const password = 'p4ss"w\\rd\nhunter2';
    const { log, lines } = collect({ secrets: [password] });
    const echo = `you sent ${password} or ${Buffer.from(password).toString('base64')}`;
    for (const event of everyEvent) log.emit(poisoned(event, echo));
    const all = lines.join('');
    assert.ok(all.includes('«redacted»'));
    for (const form of ['hunter2', Buffer.from(password).toString('base64'), 'p4ss']) {
      assert.ok(!all.includes(form), form);
    }
  });

  test('learns new secrets on a reload', () => {
    const { log, lines } = collect();
    log.configure({ secrets: ['new-secret'] });
    log.emit({ ...attempt, reply: 'bad new-secret' });
    assert.ok(!lines[0]!.includes('new-secret'));
  });
});

describe('refusals that repeat', () => {
  const refused: Refused = {
    event: 'message-refused',
    reason: 'loop',
    client: '10.0.0.1',
    reply: '554 loop',
  };

  test('are summed up by themselves when their window ends, and again for as long as they go on', t => {
    mock.timers.enable({ apis: ['setTimeout', 'Date'], now: noon });
    t.after(() => mock.timers.reset());
    const { log, json } = collect({ monotonic: () => Date.now() });
    for (const count of [4, 3, 5]) {
      for (let i = 0; i < count; i++) log.emit(refused);
      mock.timers.tick(windowMs);
    }
    assert.deepEqual(
      json().map(line => line['repeated']),
      [undefined, 3, 3, 5],
    );
  });

  test('are summed up when the log is closed, and keep no process alive', async () => {
    const { log, json } = collect();
    log.emit(refused);
    log.emit({ ...refused, reply: '554 last' });
    await log.close();
    const line = { level: 'warn', time: '2026-01-31T12:00:01.234Z', ...refused };
    assert.deepEqual(json(), [line, { ...line, reply: '554 last', repeated: 1 }]);
  });

  test('are made safe like the first one, and dropped below the level', async () => {
    const { log, lines } = collect();
    log.emit(refused);
    log.emit({ ...refused, reply: '554 hunter2' });
    log.configure({ secrets: ['hunter2'] });
    await log.close();
    assert.match(lines[1]!, /554 «redacted»/);
    const quiet = collect();
    quiet.log.emit(refused);
    quiet.log.emit(refused);
    quiet.log.configure({ level: 'error' });
    await quiet.log.close();
    assert.equal(quiet.lines.length, 1);
  });

  test('say how many they are as text, too', async () => {
    const { log, lines } = collect({ format: 'text' });
    for (let i = 0; i < 8; i++) log.emit(refused);
    await log.close();
    assert.match(lines[1]!, /refused {5}10\.0\.0\.1 {2}554 loop — 7 more like it\n$/);
  });
});

/** The event with every text field replaced. */
function poisoned(event: RelayEvent, text: string): RelayEvent {
  const fields = Object.entries(event).map(([key, value]) => {
    if (key !== 'event' && typeof value === 'string') return [key, text];
    return [key, Array.isArray(value) ? [text] : value];
  });
  return Object.fromEntries(fields) as RelayEvent;
}

describe('the text log', () => {
  const clock = new Date(noon);
  const time = `${String(clock.getHours()).padStart(2, '0')}:${String(clock.getMinutes()).padStart(2, '0')}:01.234`;

  test('tells a try in one aligned line with what happens next', () => {
    const { log, lines } = collect({ format: 'text' });
    log.emit(attempt);
    log.emit({ ...attempt, try: 2, outcome: 'delivered', stage: 'dot', class: 'none', durationMs: 31 });
    assert.deepEqual(lines, [
      `${time}  attempt     primary try 1/3  connect: connection refused — again in 1 s\n`,
      `${time}  attempt     primary try 2/3  delivered in 31 ms — again in 1 s\n`,
    ]);
  });

  test('has a line for every event', () => {
    const { log, lines } = collect({ format: 'text' });
    for (const event of everyEvent) log.emit(event);
    assert.equal(lines.length, everyEvent.length);
    for (const line of lines) assert.match(line, /^\d\d:\d\d:\d\d\.\d{3} {2}[a-z]+ +\S.*\n$/);
    for (const line of lines) assert.doesNotMatch(line, /undefined|NaN|\[object/);
  });

  test('keeps a forged line end from starting a line', () => {
    const { log, lines } = collect({ format: 'text' });
    log.emit({ ...attempt, reply: 'a\n12:00:00.000  delivered' });
    assert.equal(lines.join('').split('\n').length, 2);
  });
});

const program = `
  import { createLog } from './relay/telemetry/log.ts';
  const log = createLog({ level: 'info' });
  for (let i = 0; i < 5000; i++) log.emit({ event: 'started', message: String(i) });
`;

describe('standard output', () => {
  const run = (source: string) =>
    promisify(execFile)(process.execPath, ['--input-type=module', '-e', source], { maxBuffer: 1e8 });

  test('has every line, in order, after close()', async () => {
    const { stdout } = await run(`${program} await log.close();`);
    const messages = stdout
      .trimEnd()
      .split('\n')
      .map(line => Number((JSON.parse(line) as { message: string }).message));
    assert.deepEqual(
      messages,
      Array.from({ length: 5000 }, (_, i) => i),
    );
  });

  test('has every line after process.exit() without close()', async () => {
    const { stdout } = await run(`${program} process.exit(0);`);
    assert.equal(stdout.trimEnd().split('\n').length, 5000);
  });

  test('does not stop the program when its reader goes away', async () => {
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `${program}
         process.stdin.once('data', async () => {
           for (let i = 0; i < 5000; i++) log.emit({ event: 'started', message: 'late' });
           await log.close();
           process.exit(7);
         });`,
      ],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    await new Promise(resolve => child.stdout!.once('data', resolve));
    child.stdout!.destroy();
    child.stdin!.write('go');
    const code = await new Promise(resolve => child.once('exit', resolve));
    assert.equal(code, 7);
  });
});

describe('printable and redacted', () => {
  test('leave ordinary text, accents and emoji alone', () => {
    assert.equal(printable('Grüße 你好 👍', 100), 'Grüße 你好 👍');
  });

  test('find a password in what AUTH PLAIN sends, whatever the length of the user name', () => {
    const forms = secretPattern(['correct horse']);
    for (const user of ['a', 'ab', 'abc', 'abcd']) {
      const plain = Buffer.from(`\0${user}\0correct horse`).toString('base64');
      const left = Buffer.from(redacted(plain, forms).replace('«redacted»', ''), 'base64').toString('latin1');
      assert.doesNotMatch(left, /orrect|hors/);
      assert.match(redacted(plain, forms), /«redacted»/);
    }
  });

  test('ignore secrets too short to protect anything', () => {
    assert.equal(redacted('a cat', secretPattern(['a', 'cat'])), 'a cat');
    assert.equal(redacted('abcd', secretPattern(['abcd'])), '«redacted»');
  });
});
