/**
 * What a claim says of itself while no pod serves it: what its pod left on the volume, since when, and of which state
 * of the workload that was said. Pods that somebody starts by hand, while the MailRelay is suspended or no operator
 * runs, take mail and leave nothing on the claim; but the workload cannot be scaled up and down again without its
 * generation growing by two. So a number is believed only as long as there is no such trace. Nor is it when it was said
 * of another claim: annotations are copied when a claim is made anew to bring back a volume. Pure.
 */
import type { MailRelay } from '../api/mail-relay.ts';
import { annotations } from '../api/names.ts';
import { formatTime } from '../kube/conditions.ts';
import type { PersistentVolumeClaim } from '../resources/kinds.ts';
import { boardOf, isUnknown, type OnBoard } from './on-board.ts';
import { isServedBy } from './volumes.ts';

/** The workload at some time; every change of its spec, whoever makes it, has another generation. */
export interface WorkloadVersion {
  readonly uid: string;
  readonly generation: number;
  readonly replicas: number;
}

export interface Mark {
  readonly board: OnBoard;
  readonly since?: string;
}

/** Annotations to be written; null takes one away. */
export type MarkTexts = Readonly<Record<string, string | null>>;

/** Where each count stands. */
const countTexts = {
  messages: annotations.unsentMessages,
  deadMessages: annotations.deadMessages,
  quarantinedFiles: annotations.quarantinedFiles,
} as const satisfies Readonly<Record<keyof OnBoard, string>>;

export const noMark: MarkTexts = {
  [annotations.unsentMessages]: null,
  [annotations.deadMessages]: null,
  [annotations.quarantinedFiles]: null,
  [annotations.unservedSince]: null,
  [annotations.unservedBy]: null,
  [annotations.unservedClaim]: null,
};

/**
 * What the claim says that is still to be believed; a text that is no count says as much as `unknown`, or as none of its
 * sort, and one that is no time nothing. Anybody who may change claims may have written it.
 */
export function markOf(
  claim: PersistentVolumeClaim,
  relay: MailRelay,
  workload: WorkloadVersion | undefined,
): Mark | undefined {
  const texts = claim.metadata.annotations ?? {};
  if (texts[annotations.unsentMessages] === undefined) return undefined;
  const since = timeIn(texts[annotations.unservedSince]);
  const believed = isStillTrue(claim, relay, workload);
  const board = boardOf(sort => (believed ? countIn(texts[countTexts[sort]]) : undefined));
  return { board, ...(since !== undefined && { since }) };
}

/** A mark that says so of that claim, and of that workload. `released`: the workload goes with its MailRelay. */
export function markTexts(
  { board, since }: Mark & { readonly since: string },
  { metadata: { uid } }: PersistentVolumeClaim,
  workload: WorkloadVersion | undefined,
  released = false,
): MarkTexts {
  const by = workload && !isUnknown(board) && `${workload.uid}/${workload.generation}`;
  const count = (sort: keyof OnBoard): string => String(board[sort] ?? 'unknown');
  return {
    [annotations.unsentMessages]: count('messages'),
    [annotations.deadMessages]: count('deadMessages'),
    [annotations.quarantinedFiles]: count('quarantinedFiles'),
    [annotations.unservedSince]: since,
    [annotations.unservedBy]: by ? `${by}${released ? releasedSuffix : ''}` : null,
    [annotations.unservedClaim]: uid ?? null,
  };
}

const releasedSuffix = '/released';

function isStillTrue(
  claim: PersistentVolumeClaim,
  relay: MailRelay,
  workload: WorkloadVersion | undefined,
): boolean {
  const { [annotations.unservedClaim]: of = claim.metadata.uid } = claim.metadata.annotations ?? {};
  if (of !== claim.metadata.uid) return false;
  const said = workloadIn(claim.metadata.annotations?.[annotations.unservedBy]);
  if (workload === undefined || said === undefined) return said?.released === true;
  const unserved = !isServedBy(relay, workload.replicas, claim);
  if (said.uid === workload.uid) {
    // The pod may take mail again, as where it was not taken away after all, unless the workload goes for good.
    if (workload.generation === said.generation) return unserved || said.released;
    // One change alone cannot have raised the replicas above the claim and lowered them again.
    return unserved && workload.generation === said.generation + 1;
  }
  // A new workload that nobody has changed yet.
  return said.released && workload.generation === 1 && unserved;
}

/** undefined: no such text can be believed. Without any the workload was gone when the mark was made. */
function workloadIn(
  text: string | undefined,
): { readonly uid?: string; readonly generation: number; readonly released: boolean } | undefined {
  if (text === undefined) return { generation: 0, released: true };
  const [, uid, generation, suffix] = /^([^/]+)\/([0-9]{1,15})(\/released)?$/.exec(text) ?? [];
  if (uid === undefined) return undefined;
  return { uid, generation: Number(generation), released: suffix === releasedSuffix };
}

function countIn(text = ''): number | undefined {
  return /^[0-9]{1,15}$/.test(text) ? Number(text) : undefined;
}

function timeIn(text = ''): string | undefined {
  const parsed = Date.parse(text);
  const time = Number.isNaN(parsed) ? '' : formatTime(parsed);
  return /^\d{4}-/.test(time) ? time : undefined; // a year of more digits is no RFC 3339
}
