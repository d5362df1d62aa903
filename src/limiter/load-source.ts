import { expected, memberOf } from "../core/expected.js";

/** What an `AdaptiveRateLimiter` follows: a `LoadMonitor` of `sluicegate/load`, or a source of your own. */
export interface LoadSource {
  /** The share of their base limits that limiters enforce now: from 0 to 1. */
  readonly factor: number;
  /** How often the factor is looked at again, in milliseconds. */
  readonly intervalMs: number;
  /** Calls `listener` with each new factor from now on. @returns a function that ends that. */
  listen(listener: (factor: number) => void): () => void;
  /**
   * Hears after each decision how much of its base limit a key has live: from 0 to 1. It tells how far above the real
   * traffic a limit floats.
   */
  report(used: number): void;
}

/**
 * Checks that `value` is a load source and returns it.
 *
 * @throws TypeError when a part is missing or of the wrong type.
 */
export function loadSourceFrom(value: unknown): LoadSource {
  const has = (part: keyof LoadSource, type: "number" | "function"): boolean => typeof memberOf(value, part) === type;
  if (
    !has("factor", "number") ||
    !has("intervalMs", "number") ||
    !has("listen", "function") ||
    !has("report", "function")
  ) {
    throw new TypeError(expected("load", "a LoadMonitor, or another load source", value));
  }
  return value as LoadSource;
}
