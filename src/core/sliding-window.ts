import type { LayerStatus } from "./decision.js";
import type { Limit } from "./limit.js";

/** The timestamps of one key's admitted calls, from the oldest to the newest. A call of cost `c` has `c` of them. */
export interface TimestampLog {
  /** The `n`-th most recent timestamp, 1 being the newest; `-Infinity` if there are fewer: a call infinitely long ago. */
  nthMostRecent(n: number): number;
  /** How many timestamps are later than `instant`. */
  countAfter(instant: number): number;
}

/**
 * The algorithm: how long until a call of this cost would be admitted, as a pure function of (log, limits, cost, now).
 *
 * A limit is one question about the log: is the `maxCalls`-th most recent timestamp absent, or at least `period` old? A call
 * of cost `c` reads the `(maxCalls - c + 1)`-th, so that `c` more timestamps still leave at most `maxCalls` in the window. One
 * read per layer decides, however deep the limit. All layers read the same log, since every admitted call counts in each.
 *
 * `KeyTable.admitOne` repeats it for calls of cost 1 in memory, and the script of `redis/script.ts` in Redis: change all three.
 *
 * @returns whole milliseconds: 0 if every layer admits the call now; else the most over the layers, which is the first
 *   instant at which all do; `Infinity` if the cost exceeds a `maxCalls`, because then it can never be admitted.
 */
export function retryAfter(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): number {
  let wait = 0;
  for (const limit of limits) wait = Math.max(wait, retryAfterOne(log, limit, cost, now));
  return wait;
}

/** Whether {@link retryAfter} is 0, by comparisons alone. */
export function allows(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): boolean {
  for (const { maxCalls, periodMs } of limits) {
    if (cost > maxCalls || log.nthMostRecent(maxCalls - cost + 1) > now - periodMs) return false;
  }
  return true;
}

/**
 * The status of each layer, in the order of `limits`. `retryAfterMs` is that of {@link retryAfter}, layer by layer.
 *
 * `used` is a binary search, so only the methods that report it call this.
 */
export function status(log: TimestampLog, limits: readonly Limit[], cost: number, now: number): LayerStatus[] {
  // Of the right length, because the first `push` to an empty array allocates room for 17. `map` would allocate a function.
  const layers = new Array<LayerStatus>(limits.length);
  for (let at = 0; at < limits.length; at += 1) layers[at] = statusOne(log, limits[at] as Limit, cost, now);
  return layers;
}

function statusOne(log: TimestampLog, limit: Limit, cost: number, now: number): LayerStatus {
  const { name, maxCalls, periodMs, reducedFrom } = limit;
  const used = log.countAfter(now - periodMs);
  const remaining = Math.max(0, maxCalls - used);
  return {
    name,
    maxCalls,
    periodMs,
    reducedFrom,
    used,
    remaining,
    retryAfterMs: retryAfterOne(log, limit, cost, now),
    moreAfterMs: retryAfterOne(log, limit, remaining + 1, now),
    resetAfterMs: emptyAfter(log, periodMs, now),
  };
}

/** Milliseconds until every timestamp has expired in a window of `periodMs`; 0 if all have. */
export function emptyAfter(log: TimestampLog, periodMs: number, now: number): number {
  return Math.max(0, log.nthMostRecent(1) + periodMs - now);
}

function retryAfterOne(log: TimestampLog, { maxCalls, periodMs }: Limit, cost: number, now: number): number {
  if (cost > maxCalls) return Infinity;
  return Math.max(0, log.nthMostRecent(maxCalls - cost + 1) + periodMs - now);
}
