import type { LayerStatus } from "./decision.js";
import type { Limit } from "./limit.js";
import type { TimestampLog } from "./timestamp-log.js";

/**
 * The algorithm, once: how long until a call of this cost would pass, as a pure function of (log, limits, cost, now).
 *
 * A limit is a question asked of the log: is your `maxCalls`-th most recent call absent, or at least a period old? A cost
 * of `c` asks for the `(maxCalls - c + 1)`-th, so that `c` more calls still leave at most `maxCalls` in the window. One
 * read per layer, however deep. All layers ask the same log, since every admitted call counts in each.
 *
 * Its twin is the script of `redis/script.ts`: whoever changes the one changes the other.
 *
 * @returns whole milliseconds: 0 when every layer lets the call pass now; else the most over the layers, which is the
 *   first instant at which all do; `Infinity` when the cost exceeds a `maxCalls`, because then it never can.
 */
export function judge(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): number {
  let wait = 0;
  for (const limit of limits) wait = Math.max(wait, waitFor(log, limit, cost, now));
  return wait;
}

/**
 * Whether {@link judge} says 0: all that most calls want to know, in comparisons alone and without a wait in the making.
 */
export function passes(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): boolean {
  // By index: the iterator of a `for...of` costs a fifth of a whole call here. Backwards is as good.
  for (let layer = limits.length - 1; layer >= 0; layer -= 1) {
    const { maxCalls, periodMs } = limits[layer] as Limit;
    if (cost > maxCalls || log.nthMostRecent(maxCalls - cost + 1) > now - periodMs) return false;
  }
  return true;
}

/**
 * What each layer stands at, in the order of `limits`, before the call is recorded: `retryAfterMs` is {@link judge}'s
 * answer layer by layer.
 *
 * Counting what is used is a binary search, so only the verbs that report it ask for it.
 */
export function survey(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): LayerStatus[] {
  return limits.map((limit) => {
    const used = log.countAfter(now - limit.periodMs);
    const remaining = Math.max(0, limit.maxCalls - used);
    return {
      name: limit.name,
      maxCalls: limit.maxCalls,
      periodMs: limit.periodMs,
      used,
      remaining,
      retryAfterMs: waitFor(log, limit, cost, now),
      moreAfterMs: waitFor(log, limit, remaining + 1, now),
      resetAfterMs: quietAfter(log, limit.periodMs, now),
    };
  });
}

/** Milliseconds until no call in the log is live in a window of `periodMs`; 0 when none is. */
export function quietAfter(log: TimestampLog, periodMs: number, now: number): number {
  return Math.max(0, log.nthMostRecent(1) + periodMs - now);
}

function waitFor(log: TimestampLog, { maxCalls, periodMs }: Limit, cost: number, now: number): number {
  if (cost > maxCalls) return Infinity;
  return Math.max(0, log.nthMostRecent(maxCalls - cost + 1) + periodMs - now);
}
