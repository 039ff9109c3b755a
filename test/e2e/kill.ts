/** kill -9 for the relay of one pod, seen from the machine that the node runs on. */
import { readdir, readFile } from 'node:fs/promises';
import process from 'node:process';

/**
 * Kills the relay's process. The kubelet's directory for the pod, which has its uid in its name, is mounted in
 * that pod's containers and nowhere else for a program with these arguments.
 *
 * @throws {Error} when there is none or more than one
 */
export async function killProcess(podUid: string): Promise<void> {
  const numbers = (await readdir('/proc')).filter(name => /^\d+$/.test(name));
  const found = await Promise.all(
    numbers.map(async number => ((await isRelayOf(number, podUid)) ? [number] : [])),
  );
  const pids = found.flat().map(Number);
  if (pids.length !== 1) throw new Error(`pod ${podUid} has relay processes: ${pids.join(', ') || 'none'}`);
  process.kill(pids[0]!, 'SIGKILL');
}

async function isRelayOf(number: string, podUid: string): Promise<boolean> {
  try {
    const line = (await readFile(`/proc/${number}/cmdline`, 'utf8')).split('\0');
    if (!line.includes('run') || !line.includes('--config')) return false;
    return (await readFile(`/proc/${number}/mountinfo`, 'utf8')).includes(podUid);
  } catch {
    return false; // it has ended meanwhile
  }
}
