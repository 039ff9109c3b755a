/**
 * What a scripted provider remembers of its sessions and of the mail it was
 * given. Bodies are kept as they came on the wire; un-stuffing happens when
 * somebody looks.
 */

/** One TCP connection. Commands are kept without their CRLF; AUTH lines too, so passwords are visible here. */
export interface SessionRecord {
  readonly id: number;
  readonly openedAt: number;
  closedAt?: number;
  /** The handshake is done. */
  secure: boolean;
  /** SNI of the handshake. */
  serverName?: string;
  /** The authenticated user. */
  user?: string;
  readonly commands: string[];
  /** Replies as sent, without CRLF. */
  readonly replies: string[];
  /** Bytes that came before STARTTLS was done and were discarded. */
  discarded: number;
}

/** One MAIL that was accepted, and what followed. */
export class TransactionRecord {
  readonly session: SessionRecord;
  readonly sender: string;
  /** What followed the address in MAIL: `SIZE=10 BODY=8BITMIME`. */
  readonly parameters: string;
  readonly recipients: string[] = [];
  readonly refused: string[] = [];
  readonly startedAt: number = Date.now();
  /** When the final dot came; undefined = it never did. */
  completedAt?: number;
  /** Bytes of the body on the wire, without the final dot. */
  size = 0;
  /** The message counts as received: answered 2xx, or taken without an answer. */
  received = false;
  /** The reply to the final dot, when there was one. */
  reply?: string;
  readonly #chunks: Buffer[] = [];

  constructor(session: SessionRecord, sender: string, parameters: string) {
    this.session = session;
    this.sender = sender;
    this.parameters = parameters;
  }

  /** Adds what came; `keep` says how many bytes in all are worth keeping. */
  add(chunk: Buffer, keep: number): void {
    if (this.size < keep) this.#chunks.push(chunk);
    this.size += chunk.length;
  }

  /** Takes back the last bytes: a final dot that came in pieces. */
  cut(bytes: number): void {
    const kept = this.wire;
    this.#chunks.length = 0;
    if (kept.length === this.size) this.#chunks.push(kept.subarray(0, kept.length - bytes));
    else this.#chunks.push(kept);
    this.size -= bytes;
  }

  /** The body as it came, dots still stuffed. */
  get wire(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** The body as its author wrote it (RFC 5321 section 4.5.2 undone). */
  get body(): Buffer {
    return unstuff(this.wire);
  }

  get complete(): boolean {
    return this.completedAt !== undefined;
  }

  /** First header of that name, unfolded, or undefined. */
  header(name: string): string | undefined {
    const text = this.body.toString('utf8');
    const end = text.indexOf('\r\n\r\n');
    const head = (end < 0 ? text : text.slice(0, end)).replace(/\r\n(?=[ \t])/g, '');
    const prefix = `${name.toLowerCase()}:`;
    const line = head.split('\r\n').find(candidate => candidate.toLowerCase().startsWith(prefix));
    return line?.slice(prefix.length).trim();
  }

  get messageId(): string | undefined {
    return this.header('message-id');
  }
}

/** Removes the dot from each line that begins with one. */
export function unstuff(wire: Buffer): Buffer {
  const parts: Buffer[] = [];
  let start = wire[0] === 0x2e ? 1 : 0;
  for (let at = wire.indexOf('\r\n.', start); at >= 0; at = wire.indexOf('\r\n.', start)) {
    parts.push(wire.subarray(start, at + 2));
    start = at + 3;
  }
  parts.push(wire.subarray(start));
  return parts.length === 1 ? parts[0]! : Buffer.concat(parts);
}
