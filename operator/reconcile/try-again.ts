/** Thrown when the same look a moment later may succeed: it waits for a cache, or for something to go. */
export class TryAgainError extends Error {
  override readonly name = 'TryAgainError';
}
