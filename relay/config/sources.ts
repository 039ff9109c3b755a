/**
 * Where compiling gets what is not in config.json itself: files, environment,
 * the machine's name. Compiling sees only this interface; diskSources() is
 * the real thing. Reads are synchronous: a few small files, at start and on a
 * change, and the result must belong to one moment.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { resolve } from 'node:path';

/** Text of a file, or why there is none, as the end of "… cannot be read: …". */
export type FileText =
  | { readonly found: true; readonly text: string }
  | { readonly found: false; readonly reason: string };

export interface Sources {
  /** `path` as written in config.json. Never throws. */
  readFile(path: string, maxBytes: number): FileText;
  /** undefined when the variable is not set. */
  env(name: string): string | undefined;
  /** The machine's name. */
  readonly hostname: string;
  /** smtpHost when the file says nothing. */
  readonly defaultHost: string;
  /** Key of credentialsFingerprint; the same for the life of the process. */
  readonly digestKey: Uint8Array;
}

/** Sources that remember what was read, for the fingerprint and for watching. */
export interface RecordedSources extends Sources {
  /** Paths as written, each with what was read. */
  readonly files: ReadonlyMap<string, FileText>;
  readonly variables: ReadonlyMap<string, string | undefined>;
}

/** Reads each file once per compilation and remembers it. */
export function recorded(sources: Sources): RecordedSources {
  const files = new Map<string, FileText>();
  const variables = new Map<string, string | undefined>();
  return {
    hostname: sources.hostname,
    defaultHost: sources.defaultHost,
    digestKey: sources.digestKey,
    files,
    variables,
    readFile(path, maxBytes) {
      const known = files.get(path);
      if (known !== undefined) return known;
      const read = sources.readFile(path, maxBytes);
      files.set(path, read);
      return read;
    },
    env(name) {
      const value = sources.env(name);
      variables.set(name, value);
      return value;
    },
  };
}

/** The environment variable that sets where to listen when config.json has no smtpHost. The image sets it to `::`. */
export const defaultHostVariable = 'MAILRELAY_DEFAULT_HOST';

const digestKey = randomBytes(32);

/** Files relative to `directory`, the one of config.json. */
export function diskSources(
  directory: string,
  environment: Readonly<Record<string, string | undefined>>,
): Sources {
  return {
    readFile: (path, maxBytes) => readRegularFile(resolve(directory, path), maxBytes),
    env: name => environment[name],
    hostname: hostname(),
    defaultHost: environment[defaultHostVariable] || '127.0.0.1',
    digestKey,
  };
}

/** Regular files only: reading a pipe or a device would block the whole program. */
function readRegularFile(path: string, maxBytes: number): FileText {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) return { found: false, reason: 'not a regular file' };
    if (stat.size > maxBytes) return { found: false, reason: `longer than ${maxBytes} bytes` };
    return { found: true, text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path)) };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') return { found: false, reason: 'not UTF-8 text' };
    return { found: false, reason: code === 'ENOENT' ? 'no such file' : String(code ?? error) };
  }
}
