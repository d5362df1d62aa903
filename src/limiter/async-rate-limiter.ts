import type { LimitOptions } from "../core/limit.js";
import { limitFrom } from "../core/limit.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** Options of an {@link AsyncRateLimiter}. */
export type AsyncRateLimiterOptions<K extends string = string> = Pick<LimitOptions, "maxCalls" | "period"> &
  LimiterOptions<K>;

/**
 * Allows at most `maxCalls` calls per key in any window of the length `period`: it never admits one more, and refuses a call only
 * if the window is full. The limiter to start with.
 *
 * `maxCalls` is a whole number from 0 (which refuses every call); `period` is a duration (`"15m"`) or a bare number of
 * **seconds**, in whole milliseconds. The key is any string, and `K` narrows it at compile time. It counts the calls of one
 * process. The one exception: when its store has `maxKeys` keys, it may replace a key that has calls left;
 * `MemoryStore.evictions` counts those.
 *
 * @example
 * const limiter = new AsyncRateLimiter<`user:${string}`>({ maxCalls: 3, period: "1h" });
 * if (!(await limiter.isAllowed("user:7"))) throw new Error("Too many password resets");
 */
export class AsyncRateLimiter<in K extends string = string> extends RateLimiter<K, number> {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: AsyncRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["maxCalls", "period"]);
    const { maxCalls, period } = checked;
    super([limitFrom({ maxCalls, period })], checked);
  }
}

/**
 * Limits that suit the usual endpoints, to spread into a limiter's options. Periods are in seconds.
 *
 * @example
 * const login = new AsyncRateLimiter(RATE_LIMITS.login);
 */
export const RATE_LIMITS = {
  /** 5 attempts per 5 minutes. */
  login: { maxCalls: 5, period: 300 },
  /** 3 per hour. */
  passwordReset: { maxCalls: 3, period: 3600 },
  /** 3 per hour. */
  register: { maxCalls: 3, period: 3600 },
  /** 1000 per hour. */
  apiGeneral: { maxCalls: 1000, period: 3600 },
  /** 100 per minute. */
  apiSearch: { maxCalls: 100, period: 60 },
  /** 10 per hour. */
  apiUpload: { maxCalls: 10, period: 3600 },
  /** 10 per hour. */
  emailSend: { maxCalls: 10, period: 3600 },
  /** 5 per hour. */
  emailVerify: { maxCalls: 5, period: 3600 },
  /** 100 per hour. */
  adminAction: { maxCalls: 100, period: 3600 },
} as const;
