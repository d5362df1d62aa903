import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import type { MaxCalls } from "../core/limit.js";
import { typeError, parseOptions, assertInteger } from "../core/validate.js";
import type { WaitSignal } from "./abort.js";
import type { CallOptions, CallRequest } from "./options.js";

/** The default of `maxQueue`: it bounds the memory that the waiting calls of a key take. */
export const DEFAULT_MAX_QUEUE = 10_000;

/** The checked options of one `acquire`. */
export interface AcquireRequest extends CallRequest {
  readonly signal: WaitSignal | undefined;
  /** The longest wait in milliseconds; `Infinity` for no timeout. */
  readonly timeoutMs: number;
  readonly maxQueue: number;
}

/** How long a call waits, and how many may wait. */
export interface WaitOptions {
  /** The longest wait, as a duration with its unit. @default no timeout */
  readonly timeout?: Duration | undefined;
  /**
   * The most calls of the key that may wait, this one included. With 0 the call never waits; `Infinity` removes the bound.
   * Calls that are admitted at once do not count, and neither do calls that an asynchronous store is deciding.
   * @default 10_000
   */
  readonly maxQueue?: number | undefined;
}

/** Options of `acquire`. @typeParam M - the `maxCalls` that the limiter takes: see {@link CallOptions}. */
export interface AcquireOptions<M extends MaxCalls = never> extends CallOptions<M>, WaitOptions {
  /** Ends the wait when it is aborted, with its reason. */
  readonly signal?: WaitSignal | undefined;
}

/** The names of {@link WaitOptions}. */
export const WAIT_OPTIONS: readonly (keyof WaitOptions)[] = ["timeout", "maxQueue"];

/**
 * Checks the options of `acquire`, and fills in the defaults.
 *
 * @throws TypeError for a wrong type or an unknown option, RangeError for a value out of range.
 */
export function parseAcquireOptions(options: AcquireOptions<MaxCalls> = {}): AcquireRequest {
  const known = parseOptions("options", options, ["cost", "maxCalls", "signal", ...WAIT_OPTIONS]);
  const { cost = 1, maxCalls, signal, timeout, maxQueue = DEFAULT_MAX_QUEUE } = known;
  const { addEventListener, removeEventListener } = ((signal as unknown) ?? {}) as Partial<WaitSignal>;
  if (signal !== undefined && [addEventListener, removeEventListener].some((method) => typeof method !== "function")) {
    throw typeError("signal", "an AbortSignal", signal);
  }
  return {
    cost: assertInteger("cost", cost, 1),
    maxCalls,
    signal,
    timeoutMs: timeout === undefined ? Infinity : parseDuration("timeout", timeout, 0),
    maxQueue: maxQueue === Infinity ? Infinity : assertInteger("maxQueue", maxQueue, 0),
  };
}
