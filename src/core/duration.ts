import { rangeError, typeError } from "./validate.js";

type Unit = "ms" | "s" | "m" | "h" | "d" | "w";

const UNITS: Readonly<Record<Unit, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** 10 million days: added to any instant of store time it is a safe integer. */
const LONGEST_MS = 8.64e14;

const RANGE = "of whole milliseconds up to 10 million days";

const SHAPE = /^(\d+(?:\.\d+)?) ?(ms|s|m|h|d|w)$/;

/**
 * A length of time with its unit, with or without a space: `"500ms"`, `"10 s"`, `"15m"`, `"1h"`, `"7d"`, `"1w"`.
 *
 * A fraction is allowed if the duration is a whole number of milliseconds: `"1.5h"` is valid, `"0.5ms"` is not.
 */
export type Duration = `${number}${Unit}` | `${number} ${Unit}`;

/**
 * Reads a duration and returns it in whole milliseconds.
 *
 * @param least - the least number of milliseconds.
 * @throws TypeError if it is not a string, RangeError if it cannot be parsed, has an unknown unit, is below `least`, or is not a
 *   whole number of milliseconds.
 */
export function parseDuration(name: string, value: unknown, least: 0 | 1 = 1): number {
  const rule = `a duration with its unit, such as "500ms", "10s", "15m", "1h", "7d" or "1w", ${RANGE}`;
  if (typeof value !== "string") throw typeError(name, rule, value);
  const parts = SHAPE.exec(value);
  const ms = parts === null ? NaN : wholeMs(Number(parts[1]), UNITS[parts[2] as Unit]);
  if (!(ms >= least && ms <= LONGEST_MS)) throw rangeError(name, rule, value);
  return ms;
}

/**
 * Reads a period, a duration or a bare number of **seconds**, and returns it in whole milliseconds.
 *
 * This is the only option that takes a bare number, because existing configurations have limits such as `period: 3600`.
 *
 * @throws TypeError if it is neither a number nor a string, RangeError if it is not a whole number of milliseconds
 *   from 1 to 8.64e14 (10 million days).
 */
export function parsePeriod(name: string, value: unknown): number {
  if (typeof value === "string") return parseDuration(name, value);
  const rule = `a number of seconds, or a duration with its unit such as "15m", ${RANGE}`;
  if (typeof value !== "number") throw typeError(name, rule, value);
  const ms = wholeMs(value, 1000);
  if (!(ms >= 1 && ms <= LONGEST_MS)) throw rangeError(name, rule, value);
  return ms;
}

/**
 * Formats a length of time as the shortest duration without a fraction: `"90s"`, `"1h"`, `"1w"`.
 *
 * Precondition: a whole number of milliseconds, at least 1.
 */
export function formatDuration(ms: number): string {
  let shortest = `${ms}ms`;
  for (const [unit, length] of Object.entries(UNITS)) if (ms % length === 0) shortest = `${ms / length}${unit}`;
  return shortest;
}

/**
 * `amount` units in milliseconds, or NaN if that is not a whole number.
 *
 * It checks the quotient, because the product is inexact: `1.005 * 1000` is `1004.9999999999999`, and 1005 ms is meant.
 */
function wholeMs(amount: number, unit: number): number {
  const ms = Math.round(amount * unit);
  return ms / unit === amount ? ms : NaN;
}
