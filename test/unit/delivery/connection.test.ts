import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import type { ProviderConfig } from '../../../relay/config/config.ts';
import { ehloName, openSession, sessionOpener } from '../../../relay/delivery/connection.ts';
import {
  type Failure,
  type Fault,
  describe as inWords,
  SessionError,
  type Stage,
} from '../../../relay/delivery/failure.ts';
import type { Session } from '../../../relay/delivery/session.ts';
import { startBlackHole } from '../../smtp/black-hole.ts';
import { authority, createAuthority } from '../../smtp/certificates.ts';
import { type ProviderOptions, type ScriptedProvider, startProvider } from '../../smtp/provider.ts';
import { providerConfig } from '../../smtp/provider-config.ts';
import {
  type Action,
  accept,
  drop,
  garbage,
  partial,
  raw,
  reset,
  type Script,
  stall,
  wait,
} from '../../smtp/script.ts';
import { gate, until } from '../../smtp/wait.ts';

const never = new AbortController().signal;
const open: { close(): Promise<void> }[] = [];
after(() => Promise.all(open.map(each => each.close())));

async function provider(options: ProviderOptions = {}): Promise<ScriptedProvider> {
  const started = await startProvider(options);
  open.push(started);
  return started;
}

const trusted = { ca: authority().certificate };
const credentials = { username: 'relay-user', password: 'pass-word-1' };
const users = { [credentials.username]: credentials.password };
/** With TLS and AUTH as a real provider has them. */
const submission: ProviderOptions = { tls: 'starttls', users };

async function failure(config: ProviderConfig, signal = never): Promise<Failure> {
  const result = await openSession(config, signal).catch((error: unknown) => error);
  if (!(result instanceof SessionError)) {
    (result as Session).destroy?.();
    assert.fail(`no SessionError: ${String(result)}`);
  }
  return result.failure;
}

async function outcome(config: ProviderConfig): Promise<[Stage, Fault, number | undefined]> {
  const { stage, fault, reply } = await failure(config);
  return [stage, fault, reply?.code];
}

/** People are told the reply, or the stage once and what went wrong there. */
function assertSaidOnce(failed: Failure): void {
  const { stage, fault, reply, message } = failed;
  assert.doesNotMatch(message, new RegExp(`^${stage}\\b`));
  if (fault === 'reply') assert.match(inWords(failed), new RegExp(`^${reply?.code} `));
  else assert.equal(inWords(failed), `${stage}: ${message}`);
}

/** Nothing of the connection is left on the provider's side. */
const gone = (started: ScriptedProvider) =>
  until(() => started.counters.connectionsNow === 0, 'the connection to be closed');

describe('opening a session', () => {
  for (const [title, options, ssl] of [
    ['in clear without credentials', {}, false],
    ['by STARTTLS with AUTH', submission, false],
    ['by TLS from the first byte with AUTH', { tls: 'implicit', users }, true],
  ] as const) {
    test(`${title} gives a usable session that can NOOP and QUIT`, async () => {
      const started = await provider(options);
      const login = 'users' in options ? { credentials } : {};
      const session = await openSession(providerConfig(started, { ssl, tls: trusted, ...login }), never);
      assert.deepEqual([session.usable, session.transactions], [true, 0]);
      assert.equal(await session.noop(), true);
      await session.quit();
      assert.equal(session.usable, false);
      await gone(started);
      const [record] = started.sessions;
      assert.deepEqual(
        [record?.secure, record?.user],
        ['users' in options, 'users' in options ? 'relay-user' : undefined],
      );
      assert.equal(record?.commands.at(-1), 'QUIT');
    });
  }

  test('the EHLO name is the one of choice', async () => {
    const started = await provider();
    const session = await sessionOpener({ name: 'relay.example.com' })(providerConfig(started), never);
    session.destroy();
    assert.equal(started.sessions[0]?.commands[0], 'EHLO relay.example.com');
  });

  test('the EHLO name is the qualified host name, else the literal of the local address', () => {
    assert.equal(ehloName({ localAddress: '10.1.2.3' }, 'mx.example.com'), 'mx.example.com');
    assert.equal(ehloName({ localAddress: '10.1.2.3' }, 'mailrelay-0'), '[10.1.2.3]');
    assert.equal(ehloName({ localAddress: 'fe80::1%eth0' }, 'pod'), '[IPv6:fe80::1]');
    assert.equal(ehloName({}, 'bad name.example.com\r\nRSET'), '[127.0.0.1]');
  });

  test('HELO is tried where EHLO is unknown and nothing needs it', async () => {
    const started = await provider({
      script: { ehlo: ({ line }) => (line.startsWith('EHLO') ? '502 5.5.1 what?' : undefined) },
    });
    const session = await openSession(providerConfig(started), never);
    assert.match(started.sessions[0]?.commands.join() ?? '', /^EHLO .*,HELO /);
    session.destroy();
    const config = providerConfig(started, { credentials });
    assert.deepEqual(await outcome(config), ['ehlo', 'reply', 502]);
  });

  test('several names of one host are tried until one answers', async () => {
    const started = await provider();
    // localhost is ::1 and 127.0.0.1 on most machines, and nobody listens on the first.
    const session = await openSession(providerConfig({ host: 'localhost', port: started.port }), never);
    assert.equal(session.usable, true);
    session.destroy();
  });
});

describe('the stage of a failure before anything is said', () => {
  test('an unknown host is dns', async () => {
    const config = providerConfig({ host: 'no-such-host.invalid', port: 25 });
    const { stage, fault, message } = await failure(config);
    assert.deepEqual([stage, fault], ['dns', 'lost']);
    assert.match(message, /no-such-host\.invalid/);
  });

  test('a refused connection is connect', async () => {
    const started = await provider();
    await started.down();
    const { stage, fault, message } = await failure(providerConfig(started));
    assert.deepEqual([stage, fault], ['connect', 'lost']);
    assert.match(message, /ECONNREFUSED/);
  });

  test('no answer to the SYN is connect, after connectMs', async t => {
    if (process.platform !== 'linux') return t.skip('a full backlog drops SYNs on Linux alone');
    const hole = await startBlackHole();
    open.push(hole);
    for (const host of ['127.0.0.1', 'localhost']) {
      const began = performance.now();
      const config = providerConfig({ host, port: hole.port }, { timeouts: { connectMs: 300 } });
      assert.deepEqual(await outcome(config), ['connect', 'timeout', undefined], host);
      assert.ok(performance.now() - began < 30_000);
    }
  });
});

/** Each fault at a stage, and what it is to be reported as. */
const faults: readonly [string, Action, Fault, number | undefined][] = [
  ['a 4xx', '451 4.3.0 not now', 'reply', 451],
  ['a 5xx', '554 5.7.1 never', 'reply', 554],
  ['a 421', '421 4.7.0 closing', 'reply', 421],
  ['a 5xx of several lines', '554-5.7.1 never\n554 5.7.1 ever', 'reply', 554],
  ['silence', stall, 'timeout', undefined],
  ['a closed connection', drop, 'lost', undefined],
  ['a reset connection', reset, 'lost', undefined],
  ['garbage', garbage, 'garbled', undefined],
  ['a reply with two codes', '250-one\n550 two', 'garbled', undefined],
  ['a 1xx', '199 hm', 'garbled', undefined],
  ['half a reply and an end', partial(6, '451 4.3.0 not now'), 'lost', undefined],
  ['a whole refusal without its CRLF and an end', partial(17, '451 4.3.0 not now'), 'lost', undefined],
];

const stages: readonly (Stage & keyof Script)[] = ['greeting', 'ehlo', 'starttls', 'auth'];

describe('setting up: stage by fault', () => {
  for (const stage of stages) {
    for (const [title, action, fault, code] of faults) {
      test(`${stage}: ${title} is reported as ${fault}`, async () => {
        const started = await provider({ ...submission, script: { [stage]: action } });
        const timeouts = fault === 'timeout' ? { greetingMs: 150, commandMs: 150 } : {};
        const config = providerConfig(started, { credentials, tls: trusted, timeouts });
        const failed = await failure(config);
        const at = failed.stage;
        assert.deepEqual([failed.fault, failed.reply?.code], [fault, code]);
        assertSaidOnce(failed);
        // A RST that is there before the connection was looked at is the connection's.
        assert.ok(at === stage || (at === 'connect' && stage === 'greeting' && action === reset), at);
        await gone(started);
      });
    }
  }

  for (const [title, action, fault] of [
    ['silence', stall, 'timeout'],
    ['a closed connection', drop, 'lost'],
    ['a reset connection', reset, 'lost'],
  ] as const) {
    for (const [stage, tls] of [
      ['tls', 'implicit'],
      ['starttls', 'starttls'],
    ] as const) {
      test(`the handshake of ${stage}: ${title} is reported as ${fault}`, async () => {
        const started = await provider({ tls, users, script: { tls: action } });
        const timeouts = fault === 'timeout' ? { greetingMs: 150 } : {};
        const config = providerConfig(started, { credentials, ssl: stage === 'tls', tls: trusted, timeouts });
        const [at, ...rest] = await outcome(config);
        assert.deepEqual(rest, [fault, undefined]);
        assert.ok(at === stage || (at === 'connect' && tls === 'implicit' && action === reset), at);
        await gone(started);
      });
    }
  }

  test('a provider that speaks in clear where TLS is expected has no usable TLS', async () => {
    const started = await provider();
    const config = providerConfig(started, { ssl: true, tls: trusted });
    assert.deepEqual(await outcome(config), ['tls', 'certificate', undefined]);
    await gone(started);
  });

  test('a provider that accepts and never greets costs greetingMs and no more', async () => {
    const started = await provider();
    started.blackHole();
    const config = providerConfig(started, { timeouts: { greetingMs: 100 } });
    assert.deepEqual(await outcome(config), ['greeting', 'timeout', undefined]);
    await gone(started);
  });

  test('a second EHLO refused after STARTTLS is a failure of ehlo', async () => {
    const started = await provider({
      ...submission,
      script: { ehlo: ({ session }) => (session.secure ? '451 4.3.0 not now' : undefined) },
    });
    assert.deepEqual(await outcome(providerConfig(started, { credentials, tls: trusted })), [
      'ehlo',
      'reply',
      451,
    ]);
  });

  test('a reply out of place is told as such, not as what it says', async () => {
    const started = await provider({ script: { greeting: raw('250 ok\r\n') } });
    const failed = await failure(providerConfig(started));
    assert.deepEqual([failed.stage, failed.fault], ['greeting', 'garbled']);
    assert.equal(inWords(failed), 'greeting: answered out of place with 250 ok');
  });

  test('more replies than commands are garbled', async () => {
    const started = await provider({ script: { ehlo: '250 x\n250 y' } });
    assert.equal((await failure(providerConfig(started))).fault, 'garbled');
    const late = await provider({ ...submission, script: { auth: raw('235 ok\r\n250 and more\r\n') } });
    const config = providerConfig(late, { credentials, tls: trusted });
    assert.deepEqual((await outcome(config)).slice(0, 2), ['auth', 'garbled']);
  });

  test('an answer that comes before its command is garbled, and not taken for the answer', async () => {
    for (const script of [
      { greeting: raw('220 x\r\n250 x\r\n') },
      { greeting: raw('220 x\r\n250-x') },
      { ehlo: raw('250 x\r\n250 ok\r\n') },
    ]) {
      const early = await provider({ script });
      const stage = 'greeting' in script ? 'greeting' : 'ehlo';
      assert.deepEqual(await outcome(providerConfig(early)), [stage, 'garbled', undefined]);
    }
    const early = await provider({
      ...submission,
      script: { ehlo: [accept, raw('250 AUTH PLAIN\r\n235 ok\r\n')] },
    });
    const config = providerConfig(early, { credentials, tls: trusted });
    assert.deepEqual(await outcome(config), ['ehlo', 'garbled', undefined]);
    assert.equal(
      early.sessions[0]?.commands.some(line => line.startsWith('AUTH')),
      false,
    );
  });

  test('empty lines between replies say nothing', async () => {
    const started = await provider({
      script: { greeting: raw('220 x\r\n\r\n'), ehlo: raw('250 x\r\n\r\n') },
    });
    const session = await openSession(providerConfig(started), never);
    assert.equal(await session.noop(), true);
    session.destroy();
  });

  test('a reply without end is garbled, and not buffered for ever', async () => {
    const started = await provider({ script: { greeting: raw('220-x'.padEnd(100_000, 'x')) } });
    assert.deepEqual((await outcome(providerConfig(started))).slice(0, 2), ['greeting', 'garbled']);
  });

  test('the server may end the session after any byte that it sends', async () => {
    const whole = await provider({ tls: 'none', users, authWithoutTls: true, requireAuth: false });
    const config = providerConfig(whole);
    const session = await openSession(config, never);
    session.destroy();
    const bytes = whole.sessions[0]?.replies.reduce(
      (sum, reply) => sum + reply.length + 1 + reply.split('\n').length,
      0,
    );
    assert.ok(bytes !== undefined && bytes > 100);
    for (let afterBytes = 0; afterBytes < bytes; afterBytes++) {
      whole.follow({ spoil: { afterBytes, by: 'end' } });
      const { stage, fault } = await failure(config);
      assert.deepEqual([stage, fault], [afterBytes < 25 ? 'greeting' : 'ehlo', 'lost'], `${afterBytes}`);
    }
    await gone(whole);
  });
});

describe('TLS', () => {
  const host = '127.0.0.1';
  const issue = authority().issue;
  type Case = readonly [string, Partial<ProviderOptions>, Partial<ProviderConfig['tls']>];
  const elsewhere = issue({ names: ['other.test', '192.0.2.1'] });
  const taken: readonly Case[] = [
    ['a certificate of a known authority is taken', {}, trusted],
    [
      'serverName is verified instead of the host',
      { certificate: elsewhere },
      { ...trusted, serverName: 'other.test' },
    ],
    ['serverName may be an address', { certificate: elsewhere }, { ...trusted, serverName: '192.0.2.1' }],
    [
      'insecureSkipVerify takes anything',
      { certificate: issue({ selfSigned: true, names: ['x.test'] }) },
      { insecureSkipVerify: true },
    ],
  ];
  const refused: readonly (readonly [...Case, RegExp])[] = [
    ['an unknown authority is refused', {}, { ca: createAuthority().certificate }, /certificate/],
    ['by default the authority of the tests is unknown', {}, {}, /certificate/],
    [
      'a self-signed certificate is refused',
      { certificate: issue({ selfSigned: true }) },
      trusted,
      /self-signed/,
    ],
    ['an expired one is refused', { certificate: issue({ expired: true }) }, trusted, /expired/],
    ['one for another name is refused', { certificate: elsewhere }, trusted, /ALTNAME|IP/],
    ['a wrong serverName is refused', {}, { ...trusted, serverName: 'wrong.test' }, /ALTNAME|altnames/],
    [
      'TLS below the least version is refused',
      { maxVersion: 'TLSv1.2' },
      { ...trusted, minVersion: 'TLSv1.3' },
      /TLS/,
    ],
    ['a CA that is no certificate is refused', {}, { ca: 'rubbish' }, /TLS/],
  ];
  const kind = (ssl: boolean) => (ssl ? 'implicit' : 'starttls');
  for (const ssl of [true, false]) {
    for (const [title, options, tls] of taken) {
      test(`${kind(ssl)}: ${title}`, async () => {
        const started = await provider({ tls: kind(ssl), users, ...options });
        const config = providerConfig({ host, port: started.port }, { ssl, tls, credentials });
        const session = await openSession(config, never);
        session.destroy();
        assert.equal(started.sessions[0]?.user, credentials.username);
        await gone(started);
      });
    }
    for (const [title, options, tls, expected] of refused) {
      test(`${kind(ssl)}: ${title}`, async () => {
        const started = await provider({ tls: kind(ssl), users, ...options });
        const config = providerConfig({ host, port: started.port }, { ssl, tls, credentials });
        const { stage, fault, message } = await failure(config);
        assert.deepEqual([stage, fault], [ssl ? 'tls' : 'starttls', 'certificate']);
        assert.match(message, expected);
        assert.equal(started.sessions[0]?.user, undefined);
        await gone(started);
      });
    }
  }

  test('a name is sent as SNI, an address is not', async () => {
    const started = await provider({ tls: 'implicit' });
    for (const [at, expected] of [
      ['localhost', 'localhost'],
      ['127.0.0.1', undefined],
    ] as const) {
      const session = await openSession(
        providerConfig({ host: at, port: started.port }, { ssl: true, tls: trusted }),
        never,
      );
      session.destroy();
      assert.equal(started.sessions.at(-1)?.serverName, expected);
    }
  });

  test('without credentials STARTTLS is used when offered, even unverified', async () => {
    const started = await provider({ tls: 'starttls', certificate: authority().issue({ selfSigned: true }) });
    const session = await openSession(providerConfig(started), never);
    session.destroy();
    assert.equal(started.sessions[0]?.secure, true);
  });

  test('without credentials a CA or a server name in the configuration means verification', async () => {
    const started = await provider({ tls: 'starttls', certificate: authority().issue({ selfSigned: true }) });
    assert.equal((await failure(providerConfig(started, { tls: trusted }))).fault, 'certificate');
    assert.equal(
      (await failure(providerConfig(started, { tls: { serverName: 'localhost' } }))).fault,
      'certificate',
    );
  });

  test('implicit TLS is verified without credentials too', async () => {
    const started = await provider({ tls: 'implicit' });
    assert.deepEqual((await outcome(providerConfig(started, { ssl: true }))).slice(0, 2), [
      'tls',
      'certificate',
    ]);
  });

  test('with credentials and no STARTTLS offered nothing but EHLO is said', async () => {
    const started = await provider({ tls: 'none', users, authWithoutTls: true });
    assert.deepEqual(await outcome(providerConfig(started, { credentials })), [
      'starttls',
      'not-offered',
      undefined,
    ]);
    assert.equal(started.sessions[0]?.commands.length, 1);
  });

  const demanded = { ...trusted, required: true };
  const commands = ({ sessions }: ScriptedProvider) =>
    sessions.at(-1)?.commands.map(line => line.split(' ', 1)[0]);

  test('required without credentials is used, and verified by the authorities of the system or of the file', async () => {
    const started = await provider({ tls: 'starttls' });
    const session = await openSession(providerConfig(started, { tls: demanded }), never);
    session.destroy();
    assert.equal(started.sessions[0]?.secure, true);
    for (const tls of [{ required: true }, { ...demanded, serverName: 'wrong.test' }]) {
      assert.deepEqual(await outcome(providerConfig(started, { tls })), [
        'starttls',
        'certificate',
        undefined,
      ]);
      assert.deepEqual(commands(started), ['EHLO', 'STARTTLS']);
    }
  });

  test('required of a provider whose certificate nobody verifies is used all the same', async () => {
    const started = await provider({ tls: 'starttls', certificate: authority().issue({ selfSigned: true }) });
    const config = providerConfig(started, { tls: { required: true, insecureSkipVerify: true } });
    const session = await openSession(config, never);
    session.destroy();
    assert.equal(started.sessions[0]?.secure, true);
  });

  test('required and not offered: nothing but EHLO is said, and the message names the key', async () => {
    const started = await provider();
    const { message, ...rest } = await failure(providerConfig(started, { tls: demanded }));
    assert.deepEqual(rest, { stage: 'starttls', fault: 'not-offered' });
    assert.equal(message, 'the provider does not offer STARTTLS, and tls.required is true');
    assert.deepEqual(commands(started), ['EHLO']);
    await gone(started);
    const session = await openSession(providerConfig(started, { tls: trusted }), never);
    assert.deepEqual([session.usable, started.sessions[1]?.secure], [true, false]);
    session.destroy();
  });

  for (const [reply, code] of [
    ['454 4.7.0 TLS not available', 454],
    ['502 5.5.1 what?', 502],
  ] as const) {
    test(`required and refused by ${code}: nothing more is said`, async () => {
      const started = await provider({ tls: 'starttls', script: { starttls: reply } });
      assert.deepEqual(await outcome(providerConfig(started, { tls: demanded })), [
        'starttls',
        'reply',
        code,
      ]);
      assert.deepEqual(commands(started), ['EHLO', 'STARTTLS']);
      await gone(started);
    });
  }

  test('required is not evaded by a provider that knows HELO alone', async () => {
    const started = await provider({ script: { ehlo: '502 5.5.1 what?' } });
    assert.deepEqual(await outcome(providerConfig(started, { tls: demanded })), ['ehlo', 'reply', 502]);
    assert.deepEqual(commands(started), ['EHLO']);
  });

  test('required is not evaded by an offer in an odd form', async () => {
    for (const line of ['250 \tSTARTTLS', '250 X-STARTTLSX', '250 \u017ftarttls']) {
      const started = await provider({ script: { ehlo: raw(`250-x\r\n${line}\r\n`) } });
      for (const more of [{}, { credentials }]) {
        const config = providerConfig(started, { tls: demanded, ...more });
        assert.deepEqual(await outcome(config), ['starttls', 'not-offered', undefined], line);
        assert.deepEqual(commands(started), ['EHLO']);
      }
    }
  });

  test('required and there, HELO will do where EHLO is unknown under it', async () => {
    const started = await provider({
      tls: 'starttls',
      script: {
        ehlo: ({ line, session }) =>
          session.secure && line.startsWith('EHLO') ? '502 5.5.1 what?' : undefined,
      },
    });
    const session = await openSession(providerConfig(started, { tls: demanded }), never);
    session.destroy();
    assert.deepEqual(commands(started), ['EHLO', 'STARTTLS', 'EHLO', 'HELO']);
  });

  test('what a man in the middle appends to the answer to STARTTLS is not taken for the secured session', async () => {
    const injected = raw('220 go\r\n250-x\r\n250-AUTH LOGIN\r\n250 PIPELINING\r\n');
    const started = await provider({
      ...submission,
      extensions: [],
      mechanisms: ['PLAIN'],
      script: { starttls: injected },
    });
    const result = await openSession(providerConfig(started, { credentials, tls: trusted }), never).catch(
      (error: unknown) => error,
    );
    const { commands = [] } = started.sessions[0] ?? {};
    if (result instanceof SessionError)
      assert.equal(
        commands.some(line => line.startsWith('AUTH')),
        false,
      );
    else {
      (result as Session).destroy();
      assert.deepEqual(
        commands.slice(2).map(line => line.split(' ', 2).join(' ')),
        ['EHLO [127.0.0.1]', 'AUTH PLAIN'],
      );
    }
  });
});

describe('AUTH', () => {
  for (const [mechanisms, expected] of [
    [['LOGIN', 'PLAIN'], 'AUTH PLAIN'],
    [['LOGIN', 'CRAM-MD5'], 'AUTH LOGIN'],
    [['GSSAPI', 'CRAM-MD5'], 'AUTH CRAM-MD5'],
  ] as const) {
    test(`of ${mechanisms.join(' and ')} the relay takes ${expected}`, async () => {
      const started = await provider({ ...submission, mechanisms });
      const session = await openSession(providerConfig(started, { credentials, tls: trusted }), never);
      session.destroy();
      assert.equal(started.sessions[0]?.user, credentials.username);
      assert.ok(started.sessions[0]?.commands.some(line => line.startsWith(expected)));
    });
    test(`${expected} with a wrong password is a refused AUTH`, async () => {
      const started = await provider({ ...submission, mechanisms });
      const wrong = { ...credentials, password: 'wrong-word-2' };
      const config = providerConfig(started, { credentials: wrong, tls: trusted });
      assert.deepEqual(await outcome(config), ['auth', 'reply', 535]);
    });
  }

  test('no mechanism that the relay knows is not-offered', async () => {
    for (const options of [{ ...submission, mechanisms: ['GSSAPI'] }, { tls: 'starttls' }] as const) {
      const started = await provider(options);
      const config = providerConfig(started, { credentials, tls: trusted });
      assert.deepEqual(await outcome(config), ['auth', 'not-offered', undefined]);
    }
  });

  test('neither name nor password gets into a message, though the provider repeats them', async () => {
    const { username, password } = credentials;
    const token = Buffer.from(`\0${username}\0${password}`).toString('base64');
    const started = await provider({
      ...submission,
      script: {
        auth: `535 5.7.8 no: ${token} ${password} ${username} ${Buffer.from(password).toString('base64')}`,
      },
    });
    const result = await failure(providerConfig(started, { credentials, tls: trusted }));
    const text = JSON.stringify(result);
    for (const secret of [username, password, token, Buffer.from(password).toString('base64')]) {
      assert.equal(text.includes(secret), false, text);
    }
    assert.deepEqual([result.reply?.code, result.reply?.enhanced], [535, '5.7.8']);
  });

  test('nor does a piece of them that a long reply leaves when it is cut to length', async () => {
    const { username, password } = credentials;
    const token = Buffer.from(`\0${username}\0${password}`).toString('base64');
    const started = await provider({
      ...submission,
      script: { auth: `535 5.7.8 ${'no '.repeat(164)}${token}` },
    });
    const text = JSON.stringify(await failure(providerConfig(started, { credentials, tls: trusted })));
    assert.equal(text.includes(token.slice(0, 8)), false, text);
  });
});

describe('abandoning the attempt', () => {
  test('works before it began', async () => {
    const started = await provider();
    assert.equal((await failure(providerConfig(started), AbortSignal.abort())).fault, 'lost');
  });

  for (const stage of ['tls', 'greeting', 'ehlo', 'starttls', 'auth'] as const) {
    test(`works during ${stage}, and leaves no connection behind`, async () => {
      const reached = gate();
      const tls = stage === 'tls' ? 'implicit' : 'starttls';
      const hold = () => {
        reached.open();
        return wait(gate().opened);
      };
      const started = await provider({ tls, users, script: { [stage]: hold } });
      const abort = new AbortController();
      const config = providerConfig(started, { ssl: tls === 'implicit', credentials, tls: trusted });
      const result = failure(config, abort.signal);
      await reached.opened;
      abort.abort();
      const { fault, message } = await result;
      assert.equal(fault, 'lost');
      assert.match(message, /abandoned/);
      await gone(started);
    });
  }
});

describe('an idle session', () => {
  async function idle(
    script: Script = {},
  ): Promise<{ session: Session; started: ScriptedProvider; closed: () => number }> {
    const started = await provider({ script });
    const session = await openSession(providerConfig(started, { timeouts: { commandMs: 150 } }), never);
    let calls = 0;
    session.onClose(() => {
      calls += 1;
    });
    return { session, started, closed: () => calls };
  }

  test('tells once that the provider closed it', async () => {
    const { session, started, closed } = await idle();
    await started.down();
    await until(() => closed() > 0, 'onClose');
    assert.deepEqual([closed(), session.usable], [1, false]);
    assert.equal(await session.noop(), false);
  });

  for (const [title, unasked] of [
    ['a 421', '421 4.4.2 idle too long\r\n'],
    ['a reply that nobody asked for', '250 hello?\r\n'],
    ['garbage', '\u0001\u0002\r\n'],
  ] as const) {
    test(`is over after ${title}, and tells`, async () => {
      const { session, started, closed } = await idle();
      started.speak(unasked);
      await until(() => closed() > 0, 'onClose');
      assert.deepEqual([closed(), session.usable], [1, false]);
      await gone(started);
    });
  }

  test('is not used again once the beginning of a reply has come that nobody asked for', async () => {
    const { session, started } = await idle();
    started.speak('550 5.7');
    await until(() => !session.usable, 'the session to be unusable');
    assert.equal(await session.noop(), false);
    session.destroy();
  });

  test('hears of an end that came before it asked to', async () => {
    const started = await provider();
    const session = await openSession(providerConfig(started), never);
    await started.down();
    await until(() => !session.usable, 'the end');
    await new Promise<void>(resolve => session.onClose(resolve));
  });

  test('is told nothing when the relay closes it', async () => {
    const { session, started, closed } = await idle();
    session.destroy();
    await gone(started);
    assert.equal(closed(), 0);
  });

  test('QUIT waits two seconds for an answer at most', async () => {
    const { session, started } = await idle({ quit: stall });
    const began = performance.now();
    await session.quit();
    assert.ok(performance.now() - began < 30_000);
    await gone(started);
  });

  test('a refused NOOP ends it', async () => {
    const { session } = await idle({ noop: '451 4.3.0 no' });
    assert.equal(await session.noop(), false);
    assert.equal(session.usable, false);
  });
});
