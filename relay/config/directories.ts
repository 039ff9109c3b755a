/**
 * Tells when something changes in the directories of some files. Events are
 * gathered: the first starts a short wait, its end makes one call. A
 * directory that is missing, or replaced by another of the same name, is
 * watched again at the next look. Never keeps the process alive.
 */
import { type FSWatcher, lstatSync, statSync, watch } from 'node:fs';
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
  /** True when a watch was started. */
  const follow = (directory: string): boolean => {
    const identity = identityOf(directory);
    if (watched.get(directory)?.identity === identity) return false;
    drop(directory);
    const watcher = open(directory, soon, () => drop(directory));
    if (watcher !== undefined) watched.set(directory, { watcher, identity });
    return watcher !== undefined;
  };
  const arm = () => {
    const wanted = new Set(options.files().flatMap(file => directoriesOf(resolve(options.base, file))));
    for (const directory of watched.keys()) if (!wanted.has(directory)) drop(directory);
    // What changed between the last look and the start of a watch was seen by
    // neither: look once more.
    const started = [...wanted].filter(follow);
    if (started.length > 0) soon();
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

/**
 * The directory of the file and, where that is itself a link, the one that
 * holds the link: in a mounted volume `primary/password` is reached through
 * `primary` → `..data/primary`, and the swap of `..data` happens above.
 */
function directoriesOf(file: string): string[] {
  const directory = dirname(file);
  return isLink(directory) ? [directory, dirname(directory)] : [directory];
}

function isLink(path: string): boolean {
  try {
    return lstatSync(path).isSymbolicLink();
  } catch {
    return false;
  }
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
