/**
 * Tells when something changes in the directories of some files. Events are
 * gathered: the first starts a short wait, its end makes one call. A
 * directory that is missing, or replaced by another of the same name, is
 * watched again at the next look. Never keeps the process alive.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { dirname, resolve } from 'node:path';

export interface WatchOptions {
  /** Asked at each look: the files of interest, relative ones below `base`. */
  readonly files: () => readonly string[];
  readonly base: string;
  /** After events and at each poll. */
  readonly onEvent: () => void;
  readonly settleMs: number;
  readonly pollMs: number;
}

interface Watched {
  readonly watcher: FSWatcher;
  /** Device and inode: another directory of the same name has another. */
  readonly identity: string | undefined;
}

export function watchDirectories(options: WatchOptions): { close(): void } {
  const watched = new Map<string, Watched>();
  let settling: NodeJS.Timeout | undefined;

  const look = () => {
    settling = undefined;
    options.onEvent();
    arm();
  };
  // Not restarted by further events: a directory that is never quiet would
  // otherwise put the reload off for ever.
  const soon = () => {
    settling ??= setTimeout(look, options.settleMs).unref();
  };
  const drop = (directory: string) => {
    watched.get(directory)?.watcher.close();
    watched.delete(directory);
  };
  const arm = () => {
    const wanted = new Set(options.files().map(file => dirname(resolve(options.base, file))));
    for (const directory of watched.keys()) if (!wanted.has(directory)) drop(directory);
    for (const directory of wanted) {
      const identity = identityOf(directory);
      if (watched.get(directory)?.identity === identity) continue;
      drop(directory);
      const watcher = open(directory, soon, () => drop(directory));
      if (watcher !== undefined) watched.set(directory, { watcher, identity });
    }
  };

  arm();
  };
  // Not restarted by further events: a directory that is never quiet would
  // otherwise put the reload off for ever.
  const soon = () => {
    settling ??= setTimeout(look, options.settleMs).unref();
  };
  const drop = (directory: string) => {
    watched.get(directory)?.watcher.close();
    watched.delete(directory);
  };
  const arm = () => {
    const wanted = new Set(options.files().map(file => dirname(resolve(options.base, file))));
    for (const directory of watched.keys()) if (!wanted.has(directory)) drop(directory);
    for (const directory of wanted) {
      const identity = identityOf(directory);
      if (watched.get(directory)?.identity === identity) continue;
      drop(directory);
      const watcher = identity === undefined ? undefined : open(directory, soon, () => drop(directory));
      if (identity !== undefined && watcher !== undefined) watched.set(directory, { watcher, identity });
    }
  };

  arm();
  const poll = setInterval(look, options.pollMs).unref();
  return {
    close() {
      clearInterval(poll);
      clearTimeout(settling);
      for (const directory of [...watched.keys()]) drop(directory);
    },
  };
}

function identityOf(directory: string): string | undefined {
  try {
    const { dev, ino } = statSync(directory);
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

/** undefined where watching is not possible (no such directory, no inotify watches left): the poll remains. */
function open(directory: string, onEvent: () => void, onError: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(directory, { persistent: false }, onEvent);
    watcher.on('error', onError);
    return watcher;
  } catch {
    return undefined;
  }
}
