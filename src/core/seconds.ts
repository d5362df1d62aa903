import type { Decision } from "./decision.js";

/** Milliseconds as HTTP counts time: in whole seconds, rounded up, at least 1. */
export function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/**
 * Whole seconds until a refused call would be admitted, rounded up, for `Retry-After`: never more than the window of the
 * limit that binds, rounded up. `Infinity` for a call that never can be.
 *
 * A call in the millisecond of the one before it waits a millisecond more than the window, because times are rounded to the
 * safe side. Without the cap that is a whole second more. The wait for capacity belongs to no window, so it has no cap.
 */
export function retryAfterSeconds({ retryAfterMs, refusedBy, limit }: Decision): number {
  if (retryAfterMs === Infinity) return Infinity;
  return Math.ceil((refusedBy === "capacity" ? retryAfterMs : Math.min(retryAfterMs, limit.periodMs)) / 1000);
}
