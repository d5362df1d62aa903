import { argumentError } from "./validate.js";

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
 * A fraction is allowed where it comes to whole milliseconds: `"1.5h"` is, `"0.5ms"` is not.
 */
export type Duration = `${number}${Unit}` | `${number} ${Unit}`;

/**
 * Reads a duration and returns it in whole milliseconds.
 *
 * @param least - 1, or 0 where no time at all is a sensible answer.
 * @throws TypeError when it is not a string, RangeError when it is unparsable, of an unknown unit, below `least`, or not
 *   a whole number of milliseconds.
 */
export function parseDuration(name: string, value: unknown, least: 0 | 1 = 1): number {
  const rule = `a duration with its unit, such as "500ms", "10s", "15m", "1h", "7d" or "1w", ${RANGE}`;
  if (typeof value !== "string") throw new TypeError(argumentError(name, rule, value));
  const parts = SHAPE.exec(value);
  const ms = parts === null ? NaN : wholeMs(Number(parts[1]), UNITS[parts[2] as Unit]);
  if (!(ms >= least && ms <= LONGEST_MS)) throw new RangeError(argumentError(name, rule, value));
  return ms;
}

/**
 * Reads a period, a duration or a bare number of **seconds**, and returns it in whole milliseconds.
 *
 * Seconds are a number's unit here, and nowhere else, because the limits people copy are written so: `period: 3600`.
 *
 * @throws TypeError when it is neither a number nor a string, RangeError when it is not a whole number of milliseconds
 *   from 1 to 8.64e14 (10 million days).
 */
export function parsePeriod(name: string, value: unknown): number {
  if (typeof value === "string") return parseDuration(name, value);
  const rule = `a number of seconds, or a duration with its unit such as "15m", ${RANGE}`;
  if (typeof value !== "number") throw new TypeError(argumentError(name, rule, value));
  const ms = wholeMs(value, 1000);
  if (!(ms >= 1 && ms <= LONGEST_MS)) throw new RangeError(argumentError(name, rule, value));
  return ms;
}

/**
 * Writes a length of time as the shortest duration without a fraction: `"90s"`, `"1h"`, `"1w"`.
 *
 * Precondition: a whole number of milliseconds, at least 1.
 */
export function formatDuration(ms: number): string {
  let shortest = `${ms}ms`;
  for (const [unit, length] of Object.entries(UNITS)) if (ms % length === 0) shortest = `${ms / length}${unit}`;
  return shortest;
}

/**
 * `amount` units in milliseconds, or NaN when that is no whole number.
 *
 * Asked backwards, because the product alone lies: `1.005 * 1000` is `1004.9999999999999`, yet 1005 ms is what was meant.
 */
function wholeMs(amount: number, unit: number): number {
  const ms = Math.round(amount * unit);
  return ms / unit === amount ? ms : NaN;
}
