/**
 * How many things lie in emails/quarantine now: counted when the store opens,
 * and again when the directory has changed, since people take them out and
 * nobody tells. Kept in memory; what is there is never touched.
 */
import { opendir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Between two looks at when the directory has changed: one stat each. */
const LOOK_EVERY_MS = 2000;

export class Quarantine {
  readonly #path: string;
  #count: number | undefined;
  /** When the directory had changed last as it was counted, ms since the epoch. */
  #changedAt: number | undefined;
  /** It was counted twice since: what changed within the same tick of the file system's clock is counted as well. */
  #settled = false;
  #timer: NodeJS.Timeout | undefined;
  #looking = false;

  /** `directory`: <dataDir>/emails. */
  constructor(directory: string) {
    this.#path = join(directory, 'quarantine');
  }

  async start(): Promise<void> {
    await this.#look();
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS);
    this.#timer.unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  /** undefined: the directory cannot be read, so that there may be some. */
  count(): number | undefined {
    return this.#count;
  }

  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    try {
      const changedAt = (await stat(this.#path)).mtimeMs;
      const again = changedAt === this.#changedAt;
      if (again && this.#settled) return;
      this.#count = await entries(this.#path);
      this.#settled = again;
      this.#changedAt = changedAt;
    } catch (error) {
      this.#changedAt = undefined;
      this.#count = isMissing(error) ? 0 : undefined;
    } finally {
      this.#looking = false;
    }
  }
}

/** One after the other, however many there are. */
async function entries(path: string): Promise<number> {
  let count = 0;
  for await (const _ of await opendir(path, { bufferSize: 256 })) count += 1;
  return count;
}

/** Somebody has taken away the directory with all that was in it. */
function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}
