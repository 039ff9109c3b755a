/**
 * Condition SpoolHealthy: whether the volumes are bound, have room and hold no
 * mail that nobody sends. The gravest trouble is the reason, all of it the
 * message. What else is on volumes that no pod serves, which nobody waits for,
 * is said and is no trouble. Pure.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { type Condition, findCondition } from '../kube/conditions.ts';
import { answersOf, silenceSentence } from './answers.ts';
import { type RoomLeft, roomLeft, roomSentence } from './disk-room.ts';
import { heldSentence } from './held-volumes.ts';
import type { Judgement } from './judgement.ts';
import type { Observation } from './observation.ts';
import { isAllSent } from './on-board.ts';
import type { RelayStatus } from './relay-status.ts';

type Verdict = Judgement<'SpoolHealthy'>;

/** `before`: what was said last, so that a volume at the edge of being nearly full is told once. */
export function spoolHealthy(seen: Observation, before: readonly Condition[]): Verdict {
  if (seen.relay === undefined) return reported(seen);
  const troubles = [...storeTroubles(seen, before), ...volumeTroubles(seen.volumes, seen.relay)];
  const verdict = gravestOf(troubles) ?? pending(seen) ?? reported(seen);
  const { held } = seen.volumes;
  if (held.length === 0 || leavesUnsent(held)) return verdict;
  return { ...verdict, message: `${verdict.message}; ${heldSentence(seen.relay, held)}` };
}

function gravestOf(troubles: readonly Verdict[]): Verdict | undefined {
  const sorted = troubles.toSorted((a, b) => gravity.indexOf(a.reason) - gravity.indexOf(b.reason));
  const [gravest] = sorted;
  if (gravest === undefined) return undefined;
  const more = troubles.length > mostTold ? [`and ${troubles.length - mostTold} more`] : [];
  const message = [...sorted.slice(0, mostTold).map(trouble => trouble.message), ...more].join('; ');
  return { ...gravest, message };
}

/** With many pods on one full volume each says the same. */
const mostTold = 5;

/** First what stops mail, then what soon will. */
const gravity: readonly Verdict['reason'][] = [
  'VolumeDeleted',
  'StoreFailed',
  'DiskLow',
  'MailLeftBehind',
  'NearlyFull',
  'ResizeRefused',
  'ShrinkRefused',
  'ResizePending',
];

function trouble(reason: Verdict['reason'], message: string): Verdict {
  return { status: 'False', reason, message };
}

function storeTroubles({ reports }: Observation, before: readonly Condition[]): Verdict[] {
  const was = findCondition(before, 'SpoolHealthy')?.reason;
  const told = was === 'NearlyFull' || was === 'DiskLow';
  const ordered = [...reports].sort((a, b) => (a.pod < b.pod ? -1 : 1));
  return ordered.flatMap(report => answersOf([report]).flatMap(status => ofPod(report.pod, status, told)));
}

function ofPod(pod: string, { spoolFailure, disk }: RelayStatus, told: boolean): Verdict[] {
  if (spoolFailure !== undefined) {
    return [
      trouble(
        'StoreFailed',
        `pod ${pod}: ${spoolFailure}; the pod is restarted: look at its volume and node`,
      ),
    ];
  }
  const room = roomLeft(disk);
  const remedy = 'raise spool.size, or find out why mail is not sent';
  if (room === 'low') {
    return [trouble('DiskLow', `pod ${pod} refuses new mail: ${roomSentence(disk)}; ${remedy}`)];
  }
  if (!isNearlyFull(room, told)) return [];
  return [trouble('NearlyFull', `the volume of pod ${pod} is nearly full: ${roomSentence(disk)}; ${remedy}`)];
}

function isNearlyFull(room: RoomLeft, told: boolean): boolean {
  return room === 'nearly-full' || (room === 'scarce' && told);
}

function volumeTroubles({ held, resize, going }: Observation['volumes'], relay: MailRelay): Verdict[] {
  return [
    ...(going === undefined ? [] : [trouble('VolumeDeleted', going)]),
    ...(leavesUnsent(held) ? [trouble('MailLeftBehind', heldSentence(relay, held))] : []),
    ...(resize === undefined ? [] : [{ status: 'False' as const, ...resize }]),
  ];
}

/** Dead letters and quarantined files wait for nobody: a relay that has scaled down with some is as well as before. */
function leavesUnsent(held: Observation['volumes']['held']): boolean {
  return held.some(board => !isAllSent(board));
}

function pending({ volumes }: Observation): Verdict | undefined {
  if (volumes.pending.length === 0) return undefined;
  const message = `not bound: ${volumes.pending.join(', ')}; see the events of the claim`;
  return { status: 'Unknown', reason: 'VolumePending', message };
}

/** What no pod tells now, nobody knows. */
function reported(seen: Observation): Verdict {
  if (answersOf(seen.reports).length === 0) {
    return { status: 'Unknown', reason: 'NoAnswer', message: silenceSentence(seen) };
  }
  return { status: 'True', reason: 'Healthy', message: 'the volumes are bound and have room' };
}
