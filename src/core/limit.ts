import type { Duration } from "./duration.js";
import { parsePeriod } from "./duration.js";
import { ownCopy, assertInteger } from "./validate.js";

/** A limit as it is asked for: at most `maxCalls` in any window of the length `period`. */
export interface LimitOptions {
  /**
   * What the limit is called where it refuses (`"Burst"` gives the reason `"Burst rate limit exceeded"`).
   * @default undefined, which gives `"Rate limit exceeded"`
   */
  readonly name?: string | undefined;
  /**
   * The most that calls may cost together in any window. A whole number from 0, which refuses every call, to
   * 16,777,216: as many calls are remembered for each key.
   */
  readonly maxCalls: number;
  /**
   * The length of the window: a duration (`"15m"`), or a bare number of **seconds**. At least 1 ms, and a whole number of
   * milliseconds.
   */
  readonly period: number | Duration;
}

/** A limit as it is enforced: {@link LimitOptions} read and checked, its period in milliseconds. */
export interface Limit {
  /** What the limit is called where it refuses; undefined for a limit without a name. */
  readonly name?: string | undefined;
  /** The most that calls may cost together in any window of `periodMs`. */
  readonly maxCalls: number;
  /** The length of the window in whole milliseconds. */
  readonly periodMs: number;
  /** What `maxCalls` is in quiet times; undefined for a limit that is not reduced now. Always more than `maxCalls`. */
  readonly reducedFrom?: number | undefined;
}

/** The deepest log: 128 MB of stamps for one key. */
export const MAX_CALLS: number = 2 ** 24;

/**
 * Checks a limit and makes it enforceable.
 *
 * @param depthName - what its author calls `maxCalls`.
 * @throws TypeError when a part is of the wrong type, RangeError when it is out of range.
 */
export function enforceable(options: LimitOptions, depthName: string = "maxCalls"): Limit {
  const { name, maxCalls, period } = ownCopy(options);
  return Object.freeze({
    name,
    maxCalls: assertInteger(depthName, maxCalls, 0, MAX_CALLS),
    periodMs: parsePeriod("period", period),
    reducedFrom: undefined,
  });
}
