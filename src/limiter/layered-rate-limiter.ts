import type { Limit, LimitOptions, MaxCallsByName } from "../core/limit.js";
import { limitFrom } from "../core/limit.js";
import { rangeError, typeError, parseOptions } from "../core/validate.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** One limit of several, with a name that identifies it. */
export interface LayerOptions extends LimitOptions {
  /** Its name in a refusal: `"Burst"` gives the reason `"Burst rate limit exceeded"`. Not empty, and unique. */
  readonly name: string;
}

/** Options of a {@link LayeredRateLimiter}. */
export type LayeredRateLimiterOptions<K extends string = string> = {
  /** The limits, at least one. A call is allowed if all of them allow it, and is recorded once. */
  readonly limits: readonly LayerOptions[];
} & LimiterOptions<K>;

/**
 * Several limits for the same keys: a call is allowed if every limit allows it, and a refused call is recorded in none.
 *
 * All limits read the same log at different depths, so a layer costs one more read and no memory. The decision of `check` has the
 * limit that binds, the status of each layer, and as `retryAfterMs` the first instant at which *all* layers allow the call.
 *
 * @example
 * const limiter = new LayeredRateLimiter({
 *   limits: [
 *     { name: "Burst", maxCalls: 10, period: "1m" },
 *     { name: "Daily", maxCalls: 1000, period: "1d" },
 *   ],
 * });
 * const { allowed, reason, limit } = await limiter.check("ada"); // reason: "Burst rate limit exceeded"
 */
export class LayeredRateLimiter<in K extends string = string> extends RateLimiter<K, MaxCallsByName> {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: LayeredRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["limits"]);
    super(enforceableLayers(checked.limits), checked);
  }
}

function enforceableLayers(limits: unknown): Limit[] {
  if (!Array.isArray(limits)) throw typeError("limits", "an array of limits", limits);
  if (limits.length === 0) throw rangeError("limits", "an array of at least one limit", "[]");
  const names = new Set<string>();
  return limits.map((layer: LayerOptions, at) => {
    const { name, maxCalls, period } = parseOptions(`limits[${at}]`, layer, ["name", "maxCalls", "period"]);
    if (typeof name !== "string") throw typeError(`limits[${at}].name`, "a string", name);
    if (name === "") throw rangeError(`limits[${at}].name`, "a non-empty string", name);
    if (names.has(name)) throw rangeError(`limits[${at}].name`, "a name that no other limit has", name);
    names.add(name);
    return limitFrom({ name, maxCalls, period });
  });
}

/** Options of a {@link DOSProtectionLimiter}. All are optional. */
export type DOSProtectionLimiterOptions<K extends string = string> = {
  /** The limits, instead of the default ones. @default 10 per minute "Burst", 500 per hour "Hourly", 5000 per day "Daily" */
  readonly limits?: readonly LayerOptions[] | undefined;
} & LimiterOptions<K>;

const LAYERS: readonly LayerOptions[] = [
  { name: "Burst", maxCalls: 10, period: "1m" },
  { name: "Hourly", maxCalls: 500, period: "1h" },
  { name: "Daily", maxCalls: 5000, period: "1d" },
];

/**
 * A {@link LayeredRateLimiter} with limits that keep one client from overloading a service: 10 calls a minute, 500 an hour and
 * 5000 a day.
 *
 * It counts calls. It knows neither how expensive they are nor how many addresses one attacker has. `isAllowed` returns a boolean,
 * as in every limiter; `check` returns the reason.
 *
 * @example
 * const guard = new DOSProtectionLimiter();
 * const { allowed, reason } = await guard.check(ip); // "Burst rate limit exceeded"
 */
export class DOSProtectionLimiter<in K extends string = string> extends LayeredRateLimiter<K> {
  /** This limiter refuses abnormal use, and not the use of a quota: HTTP responses have another problem type. */
  readonly guardsAgainst = "abnormal-usage" as const;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: DOSProtectionLimiterOptions<K> = {}) {
    const checked = checkedOptions(options, ["limits"]);
    super({ ...checked, limits: checked.limits ?? LAYERS });
  }
}
