import type { Decision } from "../core/decision.js";
import { expected } from "../core/expected.js";
import type { Limit } from "../core/limit.js";
import type { LimiterLike } from "../guard/limiter-like.js";
import { limiterLike } from "../guard/limiter-like.js";

/**
 * What HTTP needs of a limiter, by structure: any limiter of this package, of another copy of it, or a fake. All but
 * `check` may be missing.
 */
export interface HttpLimiter<K extends string = string> extends LimiterLike<K> {
  /** The name that its policies are called by; `"default"`, the name of a limiter that was given none, counts as none. */
  readonly name?: string | undefined;
  /** The limits it enforces, whose names are checked when the guard is made. */
  readonly limits?: readonly Limit[] | undefined;
  /** Whether {@link checkSync} answers, and is asked in place of `check`: it makes no promise. */
  readonly synchronous?: boolean | undefined;
  readonly checkSync?: ((key: K, options?: { readonly cost?: number | undefined }) => Decision) | undefined;
  /** What it is there for, where that is not to enforce a quota. */
  readonly guardsAgainst?: "abnormal-usage" | undefined;
}

/**
 * Checks that `value` is a limiter that HTTP can ask, and returns it.
 *
 * @throws TypeError when it is not: one of several tiers, say, which has to be told the tier.
 */
export function httpLimiter<K extends string>(name: string, value: unknown, needsRefund: boolean): HttpLimiter<K> {
  if (typeof (value as { tier?: unknown } | null | undefined)?.tier === "function") {
    const rule = "the limiter of one tier: `limiter: (request) => tiers.tier(…)`";
    throw new TypeError(expected(name, rule, value));
  }
  return limiterLike<K>(name, value, { refund: needsRefund, acquire: false });
}

/** The name of a limiter in HTTP; undefined for one that was given no name. */
export function givenName({ name }: Pick<HttpLimiter, "name">): string | undefined {
  return name === "default" ? undefined : name;
}
