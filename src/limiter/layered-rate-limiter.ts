import type { Limit, LimitOptions } from "../core/limit.js";
import { enforceable } from "../core/limit.js";
import { argumentError, parseOptions } from "../core/validate.js";
import type { LimiterOptions } from "./options.js";
import { checkedOptions } from "./options.js";
import { RateLimiter } from "./rate-limiter.js";

/** One limit of several: it has a name, to be told from the others by. */
export interface LayerOptions extends LimitOptions {
  /** What it is called where it refuses: `"Burst"` gives the reason `"Burst rate limit exceeded"`. Not empty, and unique. */
  readonly name: string;
}

/** Options of a {@link LayeredRateLimiter}. */
export type LayeredRateLimiterOptions<K extends string = string> = {
  /** The limits, at least one. All must let a call pass, and it is recorded once for all. */
  readonly limits: readonly LayerOptions[];
} & LimiterOptions<K>;

/**
 * Several limits at once, of the same keys: a call passes if all let it, and a call that one refuses is recorded in none.
 *
 * All ask one log at their own depth, so that a layer costs one more read and no memory. `check` names the layer that
 * binds, tells the status of each, and gives the first instant at which *all* pass as `retryAfterMs`.
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
export class LayeredRateLimiter<in K extends string = string> extends RateLimiter<K> {
  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: LayeredRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["limits"]);
    super(enforceableLayers(checked.limits), checked);
  }
}

function enforceableLayers(limits: unknown): Limit[] {
  if (!Array.isArray(limits)) throw new TypeError(argumentError("limits", "an array of limits", limits));
  if (limits.length === 0) throw new RangeError(argumentError("limits", "an array of at least one limit", "[]"));
  const names = new Set<string>();
  return limits.map((layer: LayerOptions, at) => {
    const { name, maxCalls, period } = parseOptions(`limits[${at}]`, layer, ["name", "maxCalls", "period"]);
    if (typeof name !== "string") throw new TypeError(argumentError(`limits[${at}].name`, "a string", name));
    if (name === "") throw new RangeError(argumentError(`limits[${at}].name`, "a non-empty string", name));
    if (names.has(name))
      throw new RangeError(argumentError(`limits[${at}].name`, "a name that no other limit has", name));
    names.add(name);
    return enforceable({ name, maxCalls, period });
  });
}

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
