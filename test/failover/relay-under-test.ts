/**
 * A whole relay for tests: the real program in this process, on free ports,
 * with a directory of its own and as many scripted providers as wanted. Tries
 * follow each other within milliseconds; whatever is longer passes when the
 * test moves the clock. Everything is stopped and removed by stop().
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { ProviderStatus } from '../../relay/delivery/provider-set.ts';
import { Relay } from '../../relay/program.ts';
import type { StoredMessage } from '../../relay/spool/message.ts';
import type { EventNamed } from '../../relay/telemetry/catalogue.ts';
import type { RelayEvent } from '../../relay/telemetry/events.ts';
import { authority } from '../smtp/certificates.ts';
import { hello } from '../smtp/client.ts';
import { type ProviderOptions, type ScriptedProvider, startProvider } from '../smtp/provider.ts';
import { until } from '../smtp/wait.ts';

/** A JSON object of config.json. */
export type Json = Record<string, unknown>;

export interface ProviderSetup extends ProviderOptions {
  /** Its name in config.json. Default: first, second, third … */
  readonly name?: string;
  /** Further keys of its entry in forwardProviders; host and port may be given another value. */
  readonly entry?: Json;
}

export interface RelaySetup {
  /** In the order of forwardProviders. Default: one healthy one. */
  readonly providers?: readonly ProviderSetup[];
  /** Further keys of config.json. */
  readonly config?: Json;
  /** Start on this directory, left by keepDirectory(), instead of a new one. */
  readonly directory?: string;
}

export interface Mail {
  readonly from?: string;
  readonly to?: readonly string[];
  readonly subject?: string;
  /** The whole message; default: a few header lines and a line of text. */
  readonly content?: Buffer | string;
  /** MAIL parameters. */
  readonly parameters?: string;
}

/** What the relay's directory holds. */
export interface Inventory {
  readonly messages: number;
  readonly chunks: number;
  readonly failed: readonly string[];
  readonly dead: readonly string[];
  readonly quarantine: readonly string[];
}

type EventOf<Name extends RelayEvent['event']> = EventNamed<Name>;

const ORDINALS = ['first', 'second', 'third', 'fourth', 'fifth'];

/** Tries in quick succession. */
const QUICK_RETRY = { initialDelayMilliseconds: 10, patienceSeconds: 5 };
/** So long that a machine under load is not taken for a silent provider. */
const PATIENT_TIMEOUTS = {
  connectSeconds: 10,
  greetingSeconds: 10,
  commandSeconds: 10,
  dataBlockSeconds: 10,
};

/** A step at which a provider can be silent, and the short limit by which it is given up there. */
const SHORT_TIMEOUTS = {
  connect: { connectSeconds: 1 },
  greeting: { greetingSeconds: 1 },
  auth: { commandSeconds: 1 },
  mail: { commandSeconds: 1 },
  // The steps before these have the same limit and must be answered within it.
  ehlo: { greetingSeconds: 3 },
  rcpt: { commandSeconds: 3 },
  data: { commandSeconds: 3 },
  // The shortest that config.json may have.
  dot: { finalDotSeconds: 10 },
} as const;

/** For the entry of a provider that is silent at that step: only there is it given up soon. */
export function silentAt(stage: keyof typeof SHORT_TIMEOUTS): { readonly timeouts: Json } {
  return { timeouts: SHORT_TIMEOUTS[stage] };
}

/** Starts providers and relay. Nothing stays behind when it rejects. */
export async function startRelay(setup: RelaySetup = {}): Promise<RelayUnderTest> {
  const setups = setup.providers ?? [{}];
  const directory = setup.directory ?? (await mkdtemp(join(tmpdir(), 'mailrelay-test-')));
  const providers = await Promise.all(setups.map(startProvider));
  const test = new RelayUnderTest(directory, providers, configOf(directory, setups, providers, setup.config));
  try {
    await test.start();
  } catch (error) {
    await test.stop();
    throw error;
  }
  return test;
}

/** Runs a test on a relay and stops it, whatever happens. */
export async function withRelay(
  setup: RelaySetup,
  run: (test: RelayUnderTest) => Promise<void>,
): Promise<void> {
  const test = await startRelay(setup);
  try {
    await run(test);
  } finally {
    await test.stop();
  }
}

function configOf(
  directory: string,
  setups: readonly ProviderSetup[],
  providers: readonly ScriptedProvider[],
  more: Json = {},
): Json {
  const forwardProviders = setups.map((setup, index) => {
    const { host, port } = providers[index]!;
    const [account] = Object.entries(setup.users ?? {});
    const { timeouts, tls, ...entry } = setup.entry ?? {};
    return {
      name: setup.name ?? ORDINALS[index],
      host,
      port,
      ...(account === undefined ? {} : { username: account[0], password: account[1] }),
      ssl: setup.tls === 'implicit',
      tls: { caFile: join(directory, 'ca.pem'), serverName: 'localhost', ...(tls as Json) },
      timeouts: { ...PATIENT_TIMEOUTS, ...(timeouts as Json) },
      ...entry,
    };
  });
  const { retry, listener, ...rest } = more;
  return {
    forwardProviders,
    dataDir: directory,
    smtpPort: 0,
    healthCheckPort: 0,
    adminPort: 0,
    retry: { ...QUICK_RETRY, ...(retry as Json) },
    listener: { hostname: 'relay.test', ...(listener as Json) },
    shutdown: { graceSeconds: 0, deadlineSeconds: 5 },
    ...rest,
  };
}

export class RelayUnderTest {
  readonly directory: string;
  readonly configPath: string;
  readonly providers: readonly ScriptedProvider[];
  /** Everything told, by all relays that were started on this directory. */
  readonly events: RelayEvent[] = [];
  readonly log: string[] = [];
  #config: Json;
  #relay: Relay | undefined;
  /** How far the wall clock of the relay is ahead, ms. */
  #ahead = 0;
  #keep = false;

  constructor(directory: string, providers: readonly ScriptedProvider[], config: Json) {
    this.directory = directory;
    this.configPath = join(directory, 'config.json');
    this.providers = providers;
    this.#config = config;
  }

  get relay(): Relay {
    if (this.#relay === undefined) throw new Error('the relay is not running');
    return this.#relay;
  }

  get config(): Json {
    return this.#config;
  }

  /** The provider of that position; fails the test when there is none. */
  provider(index = 0): ScriptedProvider {
    const provider = this.providers[index];
    if (provider === undefined) throw new Error(`there is no provider ${index}`);
    return provider;
  }

  /** Starts the relay, again after halt(). */
  async start(): Promise<void> {
    await writeFile(join(this.directory, 'ca.pem'), authority().certificate);
    await this.#write();
    this.#relay = await Relay.start({
      configPath: this.configPath,
      env: {},
      logStream: { write: line => this.log.push(line) },
      onEvent: event => this.events.push(event),
      now: () => Date.now() + this.#ahead,
    });
  }

  /** Stops the relay as SIGTERM would; the directory and the providers stay. */
  async halt(): Promise<void> {
    const relay = this.#relay;
    this.#relay = undefined;
    await relay?.stop(0);
  }

  /** Stops everything and removes the directory. */
  async stop(): Promise<void> {
    await this.halt();
    await Promise.all(this.providers.map(provider => provider.close()));
    if (!this.#keep) await rm(this.directory, { recursive: true, force: true });
  }

  /** stop() leaves the directory: the caller removes it. */
  keepDirectory(): string {
    this.#keep = true;
    return this.directory;
  }

  /** Writes config.json anew and loads it. Rejects when it is refused. */
  async reconfigure(change: (config: Json) => Json): Promise<void> {
    this.#config = change(structuredClone(this.#config));
    await this.#write();
    if (!(await this.relay.reload())) {
      throw new Error(`refused: ${this.relay.configTrouble?.errors.join('; ')}`);
    }
  }

  /** The same for one provider's entry. */
  reconfigureProvider(index: number, change: Json): Promise<void> {
    return this.reconfigure(config => {
      const entries = config['forwardProviders'] as Json[];
      return {
        ...config,
        forwardProviders: entries.map((entry, at) => (at === index ? { ...entry, ...change } : entry)),
      };
    });
  }

  /** Moves the relay's wall clock forward and lets it look at what is due. */
  pass(ms: number): void {
    this.#ahead += ms;
    this.relay.parts.delivery.look();
  }

  /** Hands one mail over by SMTP. Resolves with its id once it got its 250. */
  async send(mail: Mail = {}): Promise<string> {
    const client = await hello(this.relay.endpoints.smtp);
    try {
      return await this.sendOver(client, mail);
    } finally {
      await client.quit();
    }
  }

  /** The same over a connection that is there. */
  async sendOver(client: Awaited<ReturnType<typeof hello>>, mail: Mail = {}): Promise<string> {
    const { from = 'app@example.com', to = ['someone@example.net'], subject = 'a mail', parameters } = mail;
    const body =
      mail.content ??
      `From: <${from}>\r\nTo: <${to[0]}>\r\nSubject: ${subject}\r\nDate: Thu, 01 Oct 2026 10:00:00 +0000\r\n\r\nHello.\r\n`;
    const reply = await client.send({ from, to, body, ...(parameters === undefined ? {} : { parameters }) });
    const id = /queued as (\S+)/.exec(reply.text)?.[1];
    if (reply.code !== 250 || id === undefined) throw new Error(`the relay answered ${reply.text}`);
    return id;
  }

  /** Hands over many mails, several connections at a time. Resolves with their ids. */
  async sendMany(count: number, mail: (index: number) => Mail = () => ({}), parallel = 8): Promise<string[]> {
    const ids: string[] = [];
    let next = 0;
    const run = async (): Promise<void> => {
      const client = await hello(this.relay.endpoints.smtp);
      for (let index = next++; index < count; index = next++) {
        ids[index] = await this.sendOver(client, mail(index));
      }
      await client.quit();
    };
    await Promise.all(Array.from({ length: Math.min(parallel, count) }, run));
    return ids;
  }

  /** Events of that name, those about one message where an id is given. */
  heard<Name extends RelayEvent['event']>(name: Name, id?: string): EventOf<Name>[] {
    return this.events.filter(
      (event): event is EventOf<Name> =>
        event.event === name && (id === undefined || ('id' in event && event.id === id)),
    );
  }

  /** Waits until an event of that name was heard `count` times. */
  async until(name: RelayEvent['event'], count = 1, id?: string, timeoutMs = 20_000): Promise<void> {
    await until(
      () => this.heard(name, id).length >= count,
      `${count} × ${name}${id === undefined ? '' : ` of ${id}`}`,
      timeoutMs,
    );
  }

  /** Waits until the message is delivered, dead, or back in emails/failed after a round. */
  async roundEnd(id: string, rounds = 1): Promise<void> {
    await until(
      async () => {
        const message = await this.stored(id);
        return message === undefined || message.state === 'dead' || message.rounds >= rounds;
      },
      `the end of round ${rounds} of ${id}`,
      30_000,
    );
  }

  /** The message as the spool knows it; undefined = gone. */
  async stored(id: string): Promise<StoredMessage | undefined> {
    const [message] = await this.relay.parts.spool.list({ ids: [id] });
    return message;
  }

  status(name: string): ProviderStatus {
    const found = this.relay.parts.delivery.providers().find(provider => provider.name === name);
    if (found === undefined) throw new Error(`there is no provider ${name}`);
    return found;
  }

  /** Waits until the provider is in that state. */
  async untilState(name: string, state: ProviderStatus['state'], timeoutMs = 20_000): Promise<void> {
    await until(() => this.status(name).state === state, `${name} to be ${state}`, timeoutMs);
  }

  /** Sum of a metric over the samples whose labels contain these. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const { health } = this.relay.endpoints;
    const text = await (await fetch(`http://${health?.host}:${health?.port}/metrics`)).text();
    let sum = 0;
    for (const line of text.split('\n')) {
      const [, sample, rest = '', value] = /^([a-z_]+)(\{.*\})? (\S+)$/.exec(line) ?? [];
      const fits = Object.entries(labels).every(([key, wanted]) => rest.includes(`${key}="${wanted}"`));
      if (sample === name && fits) sum += Number(value);
    }
    return sum;
  }

  /** What is on disk. Stops the relay first, so that nothing moves. */
  async inventory(): Promise<Inventory> {
    await this.halt();
    const database = new DatabaseSync(join(this.directory, 'emails', 'queue.db'));
    try {
      const count = (table: string): number =>
        Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
      const [failed, dead, quarantine] = await Promise.all(
        ['failed', 'dead', 'quarantine'].map(name => names(join(this.directory, 'emails', name))),
      );
      return {
        messages: count('message'),
        chunks: count('chunk'),
        failed: failed!,
        dead: dead!,
        quarantine: quarantine!,
      };
    } finally {
      database.close();
    }
  }

  /** The file of a message in emails/failed or emails/dead. */
  file(place: 'failed' | 'dead', id: string): Promise<string> {
    return readFile(join(this.directory, 'emails', place, `${id}.eml`), 'utf8');
  }

  async #write(): Promise<void> {
    await writeFile(this.configPath, `${JSON.stringify(this.#config, null, 2)}\n`);
  }
}

async function names(directory: string): Promise<string[]> {
  return (await readdir(directory).catch(() => [])).sort();
}
