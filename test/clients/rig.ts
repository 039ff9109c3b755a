/** Real providers with a relay process in front, and what the tests say to it. */
import assert from 'node:assert/strict';
import type { CertificatePair } from '../smtp/certificates.ts';
import { exim } from './exim.ts';
import { postfix } from './postfix.ts';
import { type Kind, PASSWORD, type RealProvider, startReal, USER } from './real-provider.ts';
import { type Json, RelayProcess } from './relay-process.ts';

export const KINDS: readonly Kind[] = [postfix, exim];

export interface Upstream {
  readonly kind: Kind;
  readonly certificate?: CertificatePair;
  /** TLS from the first byte instead of STARTTLS. */
  readonly ssl?: boolean;
  /** Further keys of its entry in forwardProviders. */
  readonly entry?: Json;
}

export interface Rig extends AsyncDisposable {
  readonly relay: RelayProcess;
  readonly providers: readonly RealProvider[];
}

/** How a provider is written in config.json. */
export function entryOf(
  provider: RealProvider,
  { ssl = false, entry = {} }: Omit<Upstream, 'kind'> = {},
): Json {
  const { tls, ...rest } = entry;
  return {
    name: provider.kind.name,
    host: '127.0.0.1',
    port: provider.port(ssl),
    ssl,
    username: USER,
    password: PASSWORD,
    tls: { caFile: 'ca.pem', serverName: 'localhost', ...(tls as Json) },
    ...rest,
  };
}

/** Starts providers and relay, whose directory `fill` may add files to; nothing stays behind when it rejects, or when it is disposed of. */
export async function openRig(
  upstreams: readonly Upstream[],
  config: Json = {},
  fill: (directory: string) => Promise<void> = async () => undefined,
): Promise<Rig> {
  const providers: RealProvider[] = [];
  let relay: RelayProcess | undefined;
  const dispose = async (): Promise<void> => {
    await relay?.remove();
    await Promise.all(providers.map(provider => provider.remove()));
  };
  try {
    for (const { kind, certificate } of upstreams) providers.push(await startReal(kind, certificate));
    const entries = upstreams.map((upstream, index) => entryOf(providers[index]!, upstream));
    relay = await RelayProcess.create({ providers: entries, config });
    await fill(relay.directory);
    await relay.start();
    return { relay, providers, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    const logs = await Promise.all(providers.map(provider => provider.log()));
    await dispose();
    throw new Error(`${(error as Error).message}\n${logs.join('\n')}`, { cause: error });
  }
}

export interface Letter {
  readonly subject: string;
  readonly to?: readonly string[];
  readonly from?: string;
  /** After the header, CRLF lines. */
  readonly text?: string | Buffer;
  readonly parameters?: string;
}

/** A message with all fields that the relay would otherwise add. */
export function letter({
  subject,
  to = ['someone@example.net'],
  from = 'app@example.com',
  text = 'Hello.\r\n',
}: Letter): Buffer {
  const head = `From: <${from}>\r\nTo: <${to[0]}>\r\nSubject: ${subject}\r\nDate: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <${subject}@example.com>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(text as string)]);
}

/** Hands it over; resolves with the relay's id for it. */
export async function send(relay: RelayProcess, mail: Letter): Promise<string> {
  const { to = ['someone@example.net'], from = 'app@example.com', parameters } = mail;
  const client = await relay.connect();
  try {
    const reply = await client.send({
      from,
      to,
      body: letter(mail),
      ...(parameters === undefined ? {} : { parameters }),
    });
    const id = /queued as (\S+)/.exec(reply.text)?.[1];
    assert.ok(reply.code === 250 && id !== undefined, reply.text);
    return id;
  } finally {
    await client.quit();
  }
}
