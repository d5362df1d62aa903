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

/** Long enough for several identifiers as JSON, and short enough to be kept a million times. */
const LONGEST_KEY = 1024;

/**
 * Checks a key. The classic bug is a key of `undefined`, with which all callers would share one limit.
 *
 * @throws TypeError when it is not a string, RangeError when it is longer than 1,024 characters (UTF-16 code units): a caller
 *   who chooses the key must not choose how much memory it takes. Any other string is a key, the empty one included.
 */
export function checkKey(key: unknown, name: string = "key"): void {
  if (typeof key !== "string") throw new TypeError(expected(name, "a string", key));
  if (key.length > LONGEST_KEY) {
    // Without the key: it may be a secret, and is too long for a log.
    const rule = "a string of at most 1,024 characters (hash a longer key, or bound what it is made of)";
    throw new RangeError(expected(name, rule, `${key.length} characters`));
  }
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
