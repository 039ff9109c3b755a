/**
 * Bearer tokens. A file token is read again every minute and at once after a refusal, because the kubelet
 * replaces a bound service account token long before it expires (at 80 % of its hour).
 */
import { readFile } from 'node:fs/promises';
import { type Clock, systemClock } from './clock.ts';
import { ConnectionConfigError, type TokenSource } from './identity.ts';

/** How long a token read from a file is taken for current. */
const freshMs = 60_000;

/** A token that never changes. */
export function fixedToken(token: string): TokenSource {
  return { read: async () => token, refused: () => {} };
}

/** The token in `path`. While the file cannot be read, the last token read goes on being used. */
export function fileToken(path: string, clock: Clock = systemClock): TokenSource {
  let token: string | undefined;
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    async read() {
      if (token !== undefined && clock.now() - readAt < freshMs) return token;
      token = await readTokenFile(path, token);
      readAt = clock.now();
      return token;
    },
    refused() {
      readAt = Number.NEGATIVE_INFINITY;
    },
  };
}

async function readTokenFile(path: string, last: string | undefined): Promise<string> {
  try {
    const text = (await readFile(path, 'utf8')).trim();
    if (text) return text;
    if (last !== undefined) return last;
  } catch (error) {
    if (last !== undefined) return last;
    throw new ConnectionConfigError(`token file ${path} cannot be read: ${(error as Error).message}`);
  }
  throw new ConnectionConfigError(`token file ${path} is empty`);
}
