/**
 * How much room a relay's volume has, in the three steps that people are told:
 * enough, soon too little, too little. Pure.
 */
import type { RelayStatus } from './relay-status.ts';

type Disk = RelayStatus['disk'];

/**
 * - `low`: less than the reserve, new mail is refused;
 * - `nearly-full`: a fifth of the volume is left, or twice the reserve, as alert MailRelayDiskLow has it;
 * - `scarce`: a little more than that: nearly full stays so, and does not begin, so that a volume at the edge is told once;
 * - `enough`.
 */
export type RoomLeft = 'low' | 'nearly-full' | 'scarce' | 'enough';

/** As the relay says it; a relay that does not tell the size of its volume is judged by its reserve alone. */
export function roomLeft({ freeBytes, reserveBytes, totalBytes = 0, low }: Disk): RoomLeft {
  if (low) return 'low';
  // A volume that could not be looked at yet has no size and no reserve.
  const wanted = Math.max(totalBytes / 5, 2 * reserveBytes);
  if (freeBytes < wanted) return 'nearly-full';
  return freeBytes < wanted * 1.1 ? 'scarce' : 'enough';
}

/** `12 MiB free of 1024 MiB, 51 MiB are kept in reserve`. Whole MiB, so that it does not change all the time. */
export function roomSentence({ freeBytes, reserveBytes, totalBytes }: Disk): string {
  const mebibytes = (amount: number): string => `${Math.floor(amount / 2 ** 20)} MiB`;
  const all = totalBytes === undefined ? '' : ` of ${mebibytes(totalBytes)}`;
  return `${mebibytes(freeBytes)} free${all}, ${mebibytes(reserveBytes)} are kept in reserve`;
}
