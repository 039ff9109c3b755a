/** What a real provider has put into a Maildir, and that without what it added in front. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../smtp/wait.ts';

/** A message as a provider stored it. */
export interface Delivered {
  /** Fields that the provider put in front: Return-Path, Delivered-To, its Received, … */
  readonly added: string;
  /** From the relay's own Received on, line ends as on the wire. */
  readonly message: Buffer;
  /** The relay's Received field. */
  readonly received: string;
  /** What the relay was given: all after its Received. */
  readonly given: Buffer;
  readonly recipient: string;
}

const NAME_OF_RELAY = 'relay.test';

export class Maildir {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** All that is there, in no order. */
  async read(): Promise<Delivered[]> {
    const place = join(this.directory, 'new');
    const names = await readdir(place).catch(() => []);
    return Promise.all(names.map(async name => take(await readFile(join(place, name)))));
  }

  /** Those with that subject. */
  async withSubject(subject: string): Promise<Delivered[]> {
    const all = await this.read();
    return all.filter(({ given }) => given.toString('latin1').includes(`Subject: ${subject}\r\n`));
  }

  /** Waits for the one message with that subject. */
  async one(subject: string, timeoutMs = 20_000): Promise<Delivered> {
    const found = await until(
      async () => {
        const here = await this.withSubject(subject);
        return here.length > 0 ? here : undefined;
      },
      `${subject} in ${this.directory}`,
      timeoutMs,
    );
    if (found.length !== 1) throw new Error(`${subject} arrived ${found.length} times`);
    return found[0]!;
  }
}

/** A Maildir holds LF line ends; a CR before one that was on the wire as CRLF is not there. */
function take(stored: Buffer): Delivered {
  const text = stored.toString('latin1').replaceAll('\n', '\r\n');
  const ours = text.search(
    new RegExp(
      `^Received: from [^\\n]*\\r\\n(?:[\\t ][^\\n]*\\r\\n)*?[\\t ]by ${NAME_OF_RELAY}|^Received: [^\\n]*by ${NAME_OF_RELAY}`,
      'm',
    ),
  );
  if (ours < 0) throw new Error(`no Received by ${NAME_OF_RELAY} in:\n${text.slice(0, 2000)}`);
  const message = text.slice(ours);
  const [received = ''] = /^Received: [^\r]*\r\n(?:[\t ][^\r]*\r\n)*/.exec(message) ?? [];
  const added = text.slice(0, ours);
  const recipient = /^(?:Envelope-to|X-Original-To): (.*)\r$/m.exec(added)?.[1] ?? '';
  return {
    added,
    message: Buffer.from(message, 'latin1'),
    received,
    given: Buffer.from(message.slice(received.length), 'latin1'),
    recipient,
  };
}
