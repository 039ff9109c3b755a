/**
 * What the tests ask of a provider that someone else wrote: SMTP with STARTTLS
 * on one port and TLS from the first byte on another, one account, any mailbox
 * at example.net but those that begin with `unknown`, at most 3 MB a message.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CertificatePair } from '../smtp/certificates.ts';
import { serverCertificate } from '../smtp/certificates.ts';
import { Maildir } from './maildir.ts';
import { freePort, type Tethered, untilListening } from './tethered.ts';

export const USER = 'relay';
export const PASSWORD = 'pass word §1';
export const MAX_BYTES = 3_000_000;

/** Where it lives, before it runs. */
export interface Place {
  readonly directory: string;
  readonly startTls: number;
  readonly implicitTls: number;
}

/** One kind of server. */
export interface Kind {
  readonly name: string;
  /** Why it cannot run on this machine. */
  missing(): string | undefined;
  /** Writes its files. The certificate is in server.pem and server.key. */
  prepare(place: Place): Promise<void>;
  /** Starts it in the foreground. */
  run(place: Place): Tethered;
  /** Its own log, to be shown when something is wrong and to count its sessions. */
  log(place: Place): Promise<string>;
}

export class RealProvider {
  readonly kind: Kind;
  readonly place: Place;
  readonly mail: Maildir;
  #server: Tethered | undefined;

  constructor(kind: Kind, place: Place) {
    this.kind = kind;
    this.place = place;
    this.mail = new Maildir(join(place.directory, 'mail/box'));
  }

  log(): Promise<string> {
    return this.kind.log(this.place);
  }

  /** The port for that way of TLS. */
  port(ssl: boolean): number {
    return ssl ? this.place.implicitTls : this.place.startTls;
  }

  async up(): Promise<void> {
    const server = this.kind.run(this.place);
    this.#server = server;
    await untilListening({ port: this.place.startTls, greets: true }, this.kind.name, () => server.output);
    await untilListening(
      { port: this.place.implicitTls, greets: false },
      this.kind.name,
      () => server.output,
    );
  }

  /** Ends its processes; its files and ports stay. */
  async down(): Promise<void> {
    await this.#server?.stop();
    this.#server = undefined;
  }

  async remove(): Promise<void> {
    await this.down();
    await rm(this.place.directory, { recursive: true, force: true });
  }
}

/** Starts one; it listens when the promise resolves. */
export async function startReal(
  kind: Kind,
  certificate: CertificatePair = serverCertificate(),
): Promise<RealProvider> {
  const directory = await mkdtemp(join(tmpdir(), `mailrelay-${kind.name}-`));
  const place = { directory, startTls: await freePort(), implicitTls: await freePort() };
  const provider = new RealProvider(kind, place);
  try {
    await writeFile(join(directory, 'server.pem'), certificate.certificate);
    await writeFile(join(directory, 'server.key'), certificate.key, { mode: 0o600 });
    await kind.prepare(place);
    await provider.up();
  } catch (error) {
    await provider.remove();
    throw error;
  }
  return provider;
}
