import { typeError } from "../core/validate.js";
import type { LimitOptions } from "../core/limit.js";
import { limitFrom } from "../core/limit.js";
import type { PolicyOptions } from "../limiter/options.js";
import { checkedOptions } from "../limiter/options.js";
import { RateLimiter } from "../limiter/rate-limiter.js";
import type { RedisStoreOptions } from "./redis-store.js";
import { REDIS_OPTIONS, REDIS_RENAMED, RedisStore } from "./redis-store.js";

/** Options of a {@link RedisRateLimiter}. */
export type RedisRateLimiterOptions<K extends string = string> = Pick<LimitOptions, "maxCalls" | "period"> &
  RedisStoreOptions &
  PolicyOptions<K> & { readonly store?: undefined; readonly clock?: undefined };

/**
 * Limits calls per key across all processes that share a Redis: at most `maxCalls` in any window of the length `period`, by
 * the server's clock.
 *
 * For several limits, tiers or an adaptive limit, pass a `RedisStore` to the limiter that has them.
 *
 * @example
 * const limiter = new RedisRateLimiter({ maxCalls: 5, period: "5m", client: new Redis(), name: "login" });
 * const { allowed, source } = await limiter.check(email);
 */
export class RedisRateLimiter<in K extends string = string> extends RateLimiter<K, number> {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: RedisRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["maxCalls", "period", ...REDIS_OPTIONS], REDIS_RENAMED);
    const { maxCalls, period, name, bypass, mode, onDecision, lockFor, forgetAfter, store, clock, ...ofStore } =
      checked;
    for (const [own, value] of Object.entries({ store, clock } as Record<string, unknown>)) {
      if (value !== undefined) throw typeError(own, "absent: Redis is the store, and its clock counts", value);
    }
    const limit = limitFrom({ maxCalls, period });
    const policy = { name, bypass, mode, onDecision, lockFor, forgetAfter, warnings: checked.warnings };
    super([limit], { ...policy, store: new RedisStore(ofStore) });
  }
}
