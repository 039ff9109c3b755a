/**
 * Mail files that can be imported: what `queue export` writes, what the
 * original program (nuecms/mailer) left in emails/ and emails/failed, and any
 * .eml. Each becomes a header and a body for the import; no file is changed.
 */
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { envelopeFromHeaders } from './header-envelope.ts';

/** One message to import: its JSON (without `size`), where its bytes are, and the files to remove afterwards. */
export interface MailFile {
  /** For messages to people. */
  readonly path: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly size: number;
  readonly body: () => AsyncIterable<Buffer>;
  readonly files: readonly string[];
}

/** Envelope given on the command line; it wins over what a file says. */
export interface GivenEnvelope {
  readonly sender?: string;
  readonly recipients?: readonly string[];
}

/** Paths of the messages in `path`: itself or its envelope, or the .json and .eml files in a directory, sorted by name. */
export async function findMail(path: string): Promise<readonly string[]> {
  if (!(await stat(path)).isDirectory()) return [(await envelopeBeside(path)) ?? path];
  const names = (await readdir(path)).filter(name => /\.(json|eml)$/i.test(name)).sort();
  // <id>.eml beside <id>.json is the body of that message, not another one.
  const bodies = new Set(names.filter(name => /\.json$/i.test(name)).map(name => `${name.slice(0, -5)}.eml`));
  return names.filter(name => !bodies.has(name)).map(name => join(path, name));
}

/**
 * The exported <id>.json beside <id>.eml: who the message is for, which its
 * header does not say. Also where it cannot be understood: guessing would send
 * the message to others.
 */
async function envelopeBeside(path: string): Promise<string | undefined> {
  if (!path.endsWith('.eml')) return undefined;
  const beside = `${path.slice(0, -4)}.json`;
  const found = await stat(beside).catch(() => undefined);
  return found?.isFile() === true && !(await hasItsOwnBody(beside)) ? beside : undefined;
}

/** A failed message of the original program, which has nothing to do with the file beside it. */
async function hasItsOwnBody(path: string): Promise<boolean> {
  try {
    return typeof parseObject(await readFile(path, 'utf8'))['Data'] === 'string';
  } catch {
    // Whoever imports it says why.
    return false;
  }
}

/** Throws Error with a sentence when the file is not a message or names no recipient. */
export async function readMail(path: string, given: GivenEnvelope): Promise<MailFile> {
  const mail = /\.json$/i.test(path) ? await readJsonMail(path) : await readEml(path);
  if (mail.size === 0) throw new Error('there is no message in it');
  const header = {
    ...mail.header,
    ...(given.sender !== undefined && { sender: given.sender }),
    ...(given.recipients !== undefined && { recipients: given.recipients }),
  };
  if (!Array.isArray(header['recipients']) || header['recipients'].length === 0) {
    throw new Error('no header names a recipient; say it with --recipient');
  }
  if (header['sender'] === undefined) throw new Error('no header names the sender; say it with --sender');
  mustBeReadable([header['sender']], '--sender');
  mustBeReadable(header['recipients'], '--recipient');
  return { ...mail, header };
}

/** What stands for bytes that are no UTF-8 (U+FFFD) is in no address: guessing another charset would send it to others. */
function mustBeReadable(addresses: readonly unknown[], option: string): void {
  const broken = addresses.find(address => typeof address === 'string' && address.includes('\ufffd'));
  if (broken === undefined) return;
  throw new Error(`its header has the address ${broken}, which is no UTF-8; say it with ${option}`);
}

async function readJsonMail(path: string): Promise<MailFile> {
  await fileSize(path);
  const value = parseObject(await readFile(path, 'utf8'));
  if (typeof value['Data'] === 'string') return originalFailed(path, value, value['Data']);
  const body = `${path.slice(0, -5)}.eml`;
  const size = await fileSize(body, 'its body');
  const { size: _size, ...header } = value;
  return { path, header, size, body: () => fileChunks(body), files: [path, body] };
}

function parseObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (value !== null && typeof value === 'object' && !Array.isArray(value))
      return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new Error('it is not the JSON of a message');
}

/** emails/failed/<ID>.json of the original: {"From", "To": […], "Data": base64, "ID"}. */
function originalFailed(path: string, job: Record<string, unknown>, data: string): MailFile {
  // RFC 4648 section 4, as Go writes it. Node would pass over what is none and make some message of the rest.
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(data)) {
    throw new Error('its Data must be base64');
  }
  const bytes = Buffer.from(data, 'base64');
  const header = { sender: job['From'] ?? '', recipients: job['To'], eightBit: hasHighBytes(bytes) };
  return { path, header, size: bytes.length, body: () => once(bytes), files: [path] };
}

/** Throws Error with a sentence unless there is a regular file: reading a pipe would wait for ever. */
async function fileSize(path: string, what = 'it'): Promise<number> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const reason = error.code === 'ENOENT' ? 'no such file' : error.message;
    throw new Error(`${what} cannot be read: ${path}: ${reason}`, { cause: error });
  });
  if (!found.isFile()) throw new Error(`${what} must be a regular file: ${path}`);
  return found.size;
}

/** A header longer than this is not looked through. */
const headBytes = 256 * 1024;

async function readEml(path: string): Promise<MailFile> {
  const size = await fileSize(path);
  const head = await readHead(path);
  const saved = originalSaved(head);
  const start = saved?.length ?? 0;
  const header = {
    ...(saved?.envelope ?? envelopeFromHeaders(head.toString())),
    eightBit: await anyHighBytes(path, start),
  };
  return { path, header, size: size - start, body: () => fileChunks(path, start), files: [path] };
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(headBytes), 0, headBytes, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * emails/<time>_<sender>.eml of the original: three lines of its own with the
 * envelope, an empty line, then the message. Recognised by a second header
 * block right after; returns how many bytes the first one has.
 */
function originalSaved(
  head: Buffer,
): { envelope: { sender: string; recipients: string[] }; length: number } | undefined {
  const lines = /^From: ([^\n<>" ]*)\nTo: ([^\n<>"]+)\nDate: [^\n]*\n\n(?=[!-9;-~]+:)/.exec(head.toString());
  if (lines === null) return undefined;
  const envelope = { sender: lines[1]!, recipients: lines[2]!.split(', ') };
  // In bytes: the text has fewer characters where an address is beyond ASCII.
  return { envelope, length: head.indexOf('\n\n') + 2 };
}

async function anyHighBytes(path: string, start: number): Promise<boolean> {
  for await (const chunk of fileChunks(path, start)) if (hasHighBytes(chunk)) return true;
  return false;
}

function hasHighBytes(bytes: Buffer): boolean {
  return bytes.some(byte => byte > 127);
}

function fileChunks(path: string, start = 0): AsyncIterable<Buffer> {
  return createReadStream(path, { start, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>;
}

async function* once(bytes: Buffer): AsyncGenerator<Buffer> {
  yield bytes;
}
