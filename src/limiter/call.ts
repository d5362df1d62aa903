import { expected, knownOptions, wholeNumber } from "../core/expected.js";

/** What one call can be given. */
export interface CallOptions {
  /**
   * What this call spends: a whole number, at least 1. Each unit takes 8 bytes while it is in the window, so a cost is for
   * small numbers, and not for bytes.
   * @default 1
   */
  readonly cost?: number | undefined;
}

/**
 * Checks a key. The classic bug is a key of `undefined`, with which all callers would share one limit.
 *
 * @throws TypeError when it is not a string. Any string will do, the empty one included.
 */
export function checkKey(key: unknown, name: string = "key"): void {
  if (typeof key !== "string") throw new TypeError(expected(name, "a string", key));
}

/**
 * Reads what a call spends.
 *
 * @throws TypeError for a wrong type or an unknown option, RangeError for a cost that is fractional or below 1.
 */
export function costOf(options: CallOptions | undefined): number {
  if (options === undefined) return 1;
  const { cost } = knownOptions("options", options, ["cost"]);
  return cost === undefined ? 1 : wholeNumber("cost", cost, 1);
}
