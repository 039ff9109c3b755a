/** Small volumes of their own (tmpfs), that tests fill up. Mounting needs root. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why no volume can be made here. */
export const mountingMissing: string | false = (() => {
  if (process.getuid?.() !== 0) return 'mounting needs root';
  return spawnSync('unshare', ['-m', 'true']).status === 0 ? false : 'this machine does not allow mounting';
})();

export interface SmallVolume {
  readonly path: string;
  /** Call when nothing of it is open any more. */
  readonly remove: () => Promise<void>;
}

/** `options` of the mount besides its size of 24 MB. */
export async function smallVolume(...options: readonly string[]): Promise<SmallVolume> {
  const path = await mkdtemp(join(tmpdir(), 'mailrelay-volume-'));
  const how = ['size=24m', ...options].join(',');
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', how, 'tmpfs', path]);
  const remove = async (): Promise<void> => {
    if (status === 0) spawnSync('umount', [path]);
    await rm(path, { recursive: true });
  };
  if (status !== 0) await remove();
  assert.equal(status, 0, String(stderr));
  return { path, remove };
}

/** Takes all that is free, whoever else is writing. Returns the file that has it. */
export async function occupyBytes(volume: string): Promise<string> {
  const path = join(volume, 'something-else');
  for (let block = 64 * 1024; block >= 1; block /= 16) {
    const full = await appendFile(path, Buffer.alloc(block)).catch(() => 'full');
    if (full === undefined) block *= 16;
  }
  return path;
}

/** Takes every inode that is free. Returns the files that have them. */
export async function occupyInodes(volume: string): Promise<readonly string[]> {
  const paths: string[] = [];
  for (;;) {
    const path = join(volume, `something-else-${paths.length}`);
    const full = await writeFile(path, '').catch((error: NodeJS.ErrnoException) => error.code);
    if (full !== undefined) {
      assert.equal(full, 'ENOSPC');
      return paths;
    }
    paths.push(path);
  }
}
