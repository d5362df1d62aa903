import type { LayerOptions } from "./layered-rate-limiter.js";
import { LayeredRateLimiter } from "./layered-rate-limiter.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";

/** Options of a {@link DOSProtectionLimiter}: all may be left out. */
export type DOSProtectionLimiterOptions<K extends string = string> = {
  /** The limits in place of the default ones. @default 10 per minute "Burst", 500 per hour "Hourly", 5000 per day "Daily" */
  readonly limits?: readonly LayerOptions[] | undefined;
} & LimiterOptions<K>;

const LAYERS: readonly LayerOptions[] = [
  { name: "Burst", maxCalls: 10, period: "1m" },
  { name: "Hourly", maxCalls: 500, period: "1h" },
  { name: "Daily", maxCalls: 5000, period: "1d" },
];

/**
 * A {@link LayeredRateLimiter} with the limits that keep one client from wearing a service down: 10 calls a minute, 500 an
 * hour and 5000 a day.
 *
 * It counts calls, and does not see what they cost, nor how many clients one attacker has. `isAllowed` is a boolean, as in
 * every limiter; the reason is on `check`.
 *
 * @example
 * const guard = new DOSProtectionLimiter();
 * const { allowed, reason } = await guard.check(ip); // "Burst rate limit exceeded"
 */
export class DOSProtectionLimiter<in K extends string = string> extends LayeredRateLimiter<K> {
  /** What this limiter refuses is abnormal use, and no quota that somebody was given: answers over HTTP say so. */
  readonly guardsAgainst = "abnormal-usage" as const;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: DOSProtectionLimiterOptions<K> = {}) {
    const checked = checkedOptions(options, ["limits"]);
    super({ ...checked, limits: checked.limits ?? LAYERS });
  }
}
