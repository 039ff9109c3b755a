/**
 * Which keys are worked on as leadership comes and goes. A lease may run out and be renewed all the same, a moment later:
 * nobody is told of that, so a key that came meanwhile waits until either happens. When the end of the leadership has
 * been declared it is let go: leading again begins with every key.
 */
import { NotLeaderError } from './kube/apply.ts';
import type { HandlerResult } from './kube/work-queue.ts';

/** A renewal is tried every 2 s and given up after as long: the wait is over soon, either way. */
const LOOK_AGAIN_MS = 1000;

export interface Leadership {
  /** The lease is valid at this moment. */
  readonly mayWrite: () => boolean;
  /** Leadership has begun, and its end has not been declared. */
  readonly leads: () => boolean;
}

/** `reconcile`, as far as it may write. What it could not do for want of the lease is no failure of it. */
export function whileLeading(
  reconcile: (key: string) => Promise<HandlerResult>,
  { mayWrite, leads }: Leadership,
): (key: string) => Promise<HandlerResult> {
  const putOff = (): HandlerResult => (leads() ? { requeueAfterMs: LOOK_AGAIN_MS } : undefined);
  return async key => {
    if (!mayWrite()) return putOff();
    try {
      return await reconcile(key);
    } catch (error) {
      if (error instanceof NotLeaderError) return putOff();
      throw error;
    }
  };
}
