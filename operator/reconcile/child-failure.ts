/** A child that could not be written for now, as a value, so that the rest goes on. Pure. */
import type { Child } from '../resources/children.ts';
import { TryAgainError } from './try-again.ts';

export interface ChildFailure {
  readonly error: unknown;
  /** Which child, and the words of the error. */
  readonly message: string;
}

/** What waits for something else names the child by itself. */
export function failureOf(
  error: unknown,
  { resource, name }: Pick<Child, 'resource' | 'name'>,
): ChildFailure {
  const words = error instanceof Error ? error.message : String(error);
  return { error, message: error instanceof TryAgainError ? words : `${resource.kind} ${name}: ${words}` };
}
