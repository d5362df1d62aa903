import type { LimitOptions } from "../core/limit.js";
import { enforceable } from "../core/limit.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** Options of an {@link AsyncRateLimiter}. */
export type AsyncRateLimiterOptions<K extends string = string> = Pick<LimitOptions, "maxCalls" | "period"> &
  LimiterOptions<K>;

/**
 * At most `maxCalls` calls per key in any window of the length `period`: never one more, and never a refusal that the
 * window did not force. The limiter to start with.
 *
 * `maxCalls` is a whole number from 0 (which refuses everything) up; `period` a duration (`"15m"`) or a bare number of
 * **seconds**, in whole milliseconds. The key is any string, and `K` narrows it at compile time. It counts for one process.
 * The one exception: at its store's `maxKeys` a key with calls left may be forgotten, which `MemoryStore.evictions` counts.
 *
 * @example
 * const limiter = new AsyncRateLimiter<`user:${string}`>({ maxCalls: 3, period: "1h" });
 * if (!(await limiter.isAllowed("user:7"))) throw new Error("Too many password resets");
 */
export class AsyncRateLimiter<in K extends string = string> extends RateLimiter<K> {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: AsyncRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["maxCalls", "period"]);
    const { maxCalls, period } = checked;
    super([enforceable({ maxCalls, period })], checked);
  }
}
