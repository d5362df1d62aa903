import type { Duration } from "./duration.js";
import { parsePeriod } from "./duration.js";
import { assertInteger, ownCopy, parseOptions } from "./validate.js";

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
  /** `true` for a limit of one call, which has its own `maxCalls`; undefined for a limit of all calls. */
  readonly ofCall?: true | undefined;
}

/**
 * Another `maxCalls` for one call, or for all later calls: a number for a limiter of one limit; for a limiter of several, an
 * object of numbers by the names of the limits, where a limit that is absent stays as it is. Whole numbers from 0 to 16,777,216.
 */
export type MaxCalls = number | MaxCallsByName;

/** The {@link MaxCalls} of a limiter of several limits. */
export type MaxCallsByName = Readonly<Record<string, number | undefined>>;

/** The longest log: 128 MB of timestamps for one key. */
export const MAX_CALLS: number = 2 ** 24;

/**
 * Checks a limit and converts its period to milliseconds.
 *
 * @param depthName - the name of the option `maxCalls`, for the error.
 * @throws TypeError if an option is of the wrong type, RangeError if it is out of range.
 */
export function limitFrom(options: LimitOptions, depthName: string = "maxCalls"): Limit {
  const { name, maxCalls, period } = ownCopy(options);
  return Object.freeze({
    name,
    maxCalls: assertMaxCalls(depthName, maxCalls),
    periodMs: parsePeriod("period", period),
    reducedFrom: undefined,
    ofCall: undefined,
  });
}

/** Checks a `maxCalls`, and returns it. @throws TypeError if it is no number, RangeError if it is out of range. */
export function assertMaxCalls(name: string, value: unknown): number {
  return assertInteger(name, value, 0, MAX_CALLS);
}

/**
 * Checks a {@link MaxCalls} as far as that is possible without the limiter, which has the names of its limits, and returns it.
 *
 * @throws TypeError if it is neither a number nor an object, RangeError for a number out of range.
 */
export function assertOwnMaxCalls(name: string, value: unknown): MaxCalls {
  return typeof value === "object" && value !== null ? (value as MaxCalls) : assertMaxCalls(name, value);
}

/**
 * Checks a {@link MaxCalls}, and returns the limits with it.
 *
 * @param ofCall - `true` if it is of one call, undefined if it is of all later calls.
 * @throws TypeError for a wrong type or the name of no limit, RangeError for a number out of range.
 */
export function limitsWith(limits: readonly Limit[], maxCalls: unknown, ofCall?: true): Limit[] {
  const names = limits.flatMap(({ name }) => name ?? []);
  const byName = names.length === 0 ? undefined : parseOptions("maxCalls", maxCalls as MaxCallsByName, names);
  return limits.map((limit) => {
    const { name = "" } = limit;
    const own = byName === undefined ? maxCalls : byName[name];
    if (byName !== undefined && own === undefined) return Object.freeze({ ...limit, ofCall });
    const option = byName === undefined ? "maxCalls" : `maxCalls.${name}`;
    return Object.freeze({ ...limit, maxCalls: assertMaxCalls(option, own), ofCall });
  });
}
