import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import { expected, knownOptions, wholeNumber } from "../core/expected.js";
import type { WaitSignal } from "./abort-watch.js";
import type { CallOptions } from "./call.js";

/** What a waiter wants. */
export interface Wish {
  readonly cost: number;
  readonly signal: WaitSignal | undefined;
  /** The longest it waits, in milliseconds; `Infinity` for as long as it takes. */
  readonly timeoutMs: number;
  /** The most that may stand in line already when it comes. */
  readonly maxQueue: number;
}

/** How a call that waits for its turn waits. */
export interface WaitOptions {
  /** The longest it waits, as a duration with its unit. @default as long as it takes */
  readonly timeout?: Duration | undefined;
  /** The most calls of the key that may be waiting when it comes: 0 for a call that does not wait. @default Infinity */
  readonly maxQueue?: number | undefined;
}

/** What `acquire` can be given. */
export interface AcquireOptions extends CallOptions, WaitOptions {
  /** Ends the wait when it is aborted, with its reason. */
  readonly signal?: WaitSignal | undefined;
}

/** The names of {@link WaitOptions}. */
export const WAIT_OPTIONS: readonly (keyof WaitOptions)[] = ["timeout", "maxQueue"];

/**
 * Reads how a call waits.
 *
 * @throws TypeError for a wrong type or an unknown option, RangeError for a value out of range.
 */
export function wishOf(options: AcquireOptions = {}): Wish {
  const known = knownOptions("options", options, ["cost", "signal", ...WAIT_OPTIONS]);
  const { cost = 1, signal, timeout, maxQueue = Infinity } = known;
  const { addEventListener, removeEventListener } = ((signal as unknown) ?? {}) as Partial<WaitSignal>;
  if (signal !== undefined && [addEventListener, removeEventListener].some((verb) => typeof verb !== "function")) {
    throw new TypeError(expected("signal", "an AbortSignal", signal));
  }
  return {
    cost: wholeNumber("cost", cost, 1),
    signal,
    timeoutMs: timeout === undefined ? Infinity : parseDuration("timeout", timeout, 0),
    maxQueue: maxQueue === Infinity ? Infinity : wholeNumber("maxQueue", maxQueue, 0),
  };
}
