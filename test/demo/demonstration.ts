/**
 * The story of the relay in one terminal, without any network: three providers
 * on this machine, the first down, the second refusing the password, the third
 * healthy; then none, then one again. Uses the real relay with the source
 * document's first example; nothing in it is staged but the providers.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Relay } from '../../relay/program.ts';
import type { RelayEvent } from '../../relay/telemetry/events.ts';
import { authority } from '../smtp/certificates.ts';
import { hello } from '../smtp/client.ts';
import { type ScriptedProvider, startProvider } from '../smtp/provider.ts';
import { until } from '../smtp/wait.ts';

export interface DemonstrationOptions {
  /** End when the story is told, instead of staying up until stopped. */
  readonly once: boolean;
  readonly print: (text: string) => void;
  /** Resolves when the user wants it to end. */
  readonly stopped: Promise<void>;
}

const PASSWORDS = { primary: 'password1', backup: 'password2', emergency: 'password3' } as const;
type Name = keyof typeof PASSWORDS;
const NAMES = Object.keys(PASSWORDS) as Name[];
/** A provider that came back is found by a probe, at most this much later. */
const PATIENCE_MS = 60_000;

type Providers = Record<Name, ScriptedProvider>;

/** Runs it. Rejects when the story did not go as told. */
export async function demonstrate(options: DemonstrationOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'mailrelay-demo-'));
  const providers = await startProviders();
  const told: RelayEvent[] = [];
  try {
    const configPath = await writeConfig(directory, providers);
    const relay = await Relay.start({
      configPath,
      env: {},
      logFormat: 'text',
      logStream: { write: line => options.print(line.trimEnd()) },
      onEvent: event => told.push(event),
    });
    try {
      await tell({ relay, providers, directory, configPath, print: options.print, told });
      if (!options.once) await options.stopped;
    } finally {
      await relay.stop(0);
    }
  } finally {
    await Promise.all(NAMES.map(name => providers[name].close()));
    await rm(directory, { recursive: true, force: true });
  }
}

interface Story {
  readonly relay: Relay;
  readonly providers: Providers;
  readonly directory: string;
  readonly configPath: string;
  readonly print: (text: string) => void;
  readonly told: readonly RelayEvent[];
}

async function tell(story: Story): Promise<void> {
  const { relay, providers, directory, print } = story;
  const failed = join(directory, 'emails', 'failed');
  introduce(story);
  print('\n-- 1. primary is down, backup refuses the password, emergency is healthy: a mail is sent');
  await providers.primary.down();
  await send(relay, 'first mail');
  await until(() => heard(story, 'recipient-delivered') === 1, 'the first mail at emergency', PATIENCE_MS);
  print('   emergency has the mail. backup is suspended: no second try with a refused password.');

  print('\n-- 2. emergency goes down as well: a mail is sent that nobody takes');
  await providers.emergency.down();
  await send(relay, 'second mail');
  await until(() => heard(story, 'round-failed') === 1, 'the mail to be put by', PATIENCE_MS);
  const [file] = await until(
    async () => nonEmpty(await emlFiles(failed)),
    'a file in emails/failed',
    PATIENCE_MS,
  );
  print(`   it waits on disk: ${join(failed, file!)}`);

  print('\n-- 3. primary comes back: the relay finds out by itself and sends what waits');
  await providers.primary.up();
  await until(() => heard(story, 'recipient-delivered') === 2, 'the second mail at primary', PATIENCE_MS);
  await until(async () => (await emlFiles(failed)).length === 0, 'emails/failed to be empty', PATIENCE_MS);
  const received = NAMES.map(name => providers[name].messages.length);
  if (received.join() !== '1,0,1') throw new Error(`providers got ${received.join(', ')} mails, not 1, 0, 1`);
  print('   primary has the mail, emails/failed is empty. Every mail that got its 250 has arrived, once.');
  addresses(story);
}

function heard({ told }: Story, event: RelayEvent['event']): number {
  return told.filter(one => one.event === event).length;
}

function introduce({ relay, providers, print, configPath }: Story): void {
  const { smtp } = relay.endpoints;
  print(`MailRelay listens on ${smtp.host}:${smtp.port}, configured by ${configPath}:`);
  for (const name of NAMES) {
    const how = name === 'emergency' ? 'TLS from the first byte' : 'STARTTLS';
    print(
      `   ${name.padEnd(10)} ${providers[name].host}:${providers[name].port}  ${how}, with authentication`,
    );
  }
}

function addresses({ relay, print }: Story): void {
  const { smtp, health, admin } = relay.endpoints;
  print(`\nlistener  smtp://${smtp.host}:${smtp.port}`);
  if (health !== undefined) {
    print(`status    http://${health.host}:${health.port}/status`);
    print(`metrics   http://${health.host}:${health.port}/metrics`);
  }
  print(`queue     http://${admin.host}:${admin.port}/v1/queue (this machine only)`);
}

async function startProviders(): Promise<Providers> {
  const start = (name: Name, tls: 'starttls' | 'implicit', password: string): Promise<ScriptedProvider> =>
    startProvider({ hostname: `smtp.${name}.com`, tls, users: { [`user@${name}.com`]: password } });
  const [primary, backup, emergency] = await Promise.all([
    start('primary', 'starttls', PASSWORDS.primary),
    start('backup', 'starttls', 'another password'),
    start('emergency', 'implicit', PASSWORDS.emergency),
  ]);
  return { primary, backup, emergency };
}

/** The source document's first example, with the ports and the certificates of this machine. */
async function writeConfig(directory: string, providers: Providers): Promise<string> {
  const caFile = join(directory, 'ca.pem');
  await writeFile(caFile, authority().certificate);
  await mkdir(join(directory, 'emails'), { recursive: true });
  const forwardProviders = NAMES.map((name, priority) => ({
    name,
    host: providers[name].host,
    port: providers[name].port,
    username: `user@${name}.com`,
    password: PASSWORDS[name],
    ssl: name === 'emergency',
    priority,
    tls: { caFile, serverName: 'localhost' },
  }));
  const config = {
    forwardProviders,
    dataDir: directory,
    smtpPort: 0,
    healthCheckPort: 0,
    adminPort: 0,
  };
  const path = join(directory, 'config.json');
  await writeFile(path, `${JSON.stringify(config, null, 2)}\n`);
  return path;
}

async function send(relay: Relay, subject: string): Promise<void> {
  const client = await hello(relay.endpoints.smtp);
  const reply = await client.send({
    from: 'app@example.com',
    to: ['someone@example.net'],
    body: `From: app@example.com\r\nTo: someone@example.net\r\nSubject: ${subject}\r\n\r\nHello.\r\n`,
  });
  await client.quit();
  if (reply.code !== 250) throw new Error(`the relay answered ${reply.text}`);
}

async function emlFiles(directory: string): Promise<string[]> {
  const names = await readdir(directory).catch(() => []);
  return names.filter(name => name.endsWith('.eml'));
}

function nonEmpty(names: string[]): string[] | undefined {
  return names.length > 0 ? names : undefined;
}
