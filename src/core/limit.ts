import type { Duration } from "./duration.js";
import { parsePeriod } from "./duration.js";
import { ownCopy, assertInteger } from "./validate.js";

/** A limit as an option: at most `maxCalls` in any window of the length `period`. */
export interface LimitOptions {
  /**
   * The name of the limit in a refusal (`"Burst"` gives the reason `"Burst rate limit exceeded"`).
   * @default undefined, which gives `"Rate limit exceeded"`
   */
  readonly name?: string | undefined;
  /**
   * The most that calls may cost together in any window. A whole number from 0, which refuses every call, to
   * 16,777,216: the log of each key has as many timestamps.
   */
  readonly maxCalls: number;
  /**
   * The length of the window: a duration (`"15m"`), or a bare number of **seconds**. At least 1 ms, and a whole number of
   * milliseconds.
   */
  readonly period: number | Duration;
}

/** A limit in force: checked {@link LimitOptions}, with the period in milliseconds. */
export interface Limit {
  /** The name of the limit in a refusal; undefined for a limit without a name. */
  readonly name?: string | undefined;
  /** The most that calls may cost together in any window of `periodMs`. */
  readonly maxCalls: number;
  /** The length of the window in whole milliseconds. */
  readonly periodMs: number;
  /** The `maxCalls` without load; undefined for a limit that is not reduced now. Always more than `maxCalls`. */
  readonly reducedFrom?: number | undefined;
}

/** The longest log: 128 MB of timestamps for one key. */
export const MAX_CALLS: number = 2 ** 24;

/**
 * Checks a limit and converts its period to milliseconds.
 *
 * @param depthName - the name of the option `maxCalls`, for the error.
 * @throws TypeError if an option is of the wrong type, RangeError if it is out of range.
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
