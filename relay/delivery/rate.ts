/**
 * A token bucket as a value: `messagesPerSecond` of one provider. It holds one
 * second's worth (at least one message), so a quiet provider takes a short
 * burst and never more than the rate afterwards. It keeps no clock: the caller
 * says what time it is, and a clock that steps back costs nothing but the step.
 */

export interface Bucket {
  readonly tokens: number;
  /** Milliseconds of the caller's clock at which `tokens` was right. */
  readonly at: number;
}

export interface Taken {
  readonly bucket: Bucket;
  /** 0 = one message may begin now. Otherwise nothing was taken: ask again after this long. */
  readonly waitMs: number;
}

/** Sums of many small refills must still reach a whole token. */
const tolerance = 1e-6;

/** Longest wait returned; a rate lower than this allows only delays the asking. */
const longestWaitMs = 3_600_000;

/** What is in it: tokens that could be taken one after the other now, and how long until there is one more. */
export function inside(bucket: Bucket, now: number, rate: number): { whole: number; waitMs: number } {
  const tokens = filled(bucket, now, rate);
  const whole = Math.floor(tokens + tolerance);
  return { whole, waitMs: waitFor(whole + 1 - tokens, rate) };
}

/** A full bucket. */
export function full(rate: number, now: number): Bucket {
  return { tokens: capacity(rate), at: now };
}

/**
 * Takes one token if there is one.
 * @param rate messages per second, above 0; a changed rate applies from this call on
 */
export function take(bucket: Bucket, now: number, rate: number): Taken {
  const tokens = filled(bucket, now, rate);
  if (tokens >= 1 - tolerance) {
    return { bucket: { tokens: Math.max(0, tokens - 1), at: now }, waitMs: 0 };
  }
  return { bucket: { tokens, at: now }, waitMs: waitFor(1 - tokens, rate) };
}

function filled(bucket: Bucket, now: number, rate: number): number {
  const elapsed = Math.max(0, now - bucket.at);
  return Math.min(capacity(rate), bucket.tokens + (elapsed * rate) / 1000);
}

/** Milliseconds until so many tokens more have come. */
function waitFor(tokens: number, rate: number): number {
  return Math.min(Math.max(1, Math.ceil((tokens * 1000) / rate)), longestWaitMs);
}

function capacity(rate: number): number {
  return Math.max(1, rate);
}
