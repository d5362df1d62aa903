import type { Decision } from "../core/decision.js";
import { expected } from "../core/expected.js";

/**
 * What the wrapper needs of a limiter, by structure: any limiter of this package, of another copy of it, or a fake.
 *
 * `check` is a property on purpose: parameters of a property's type are compared strictly, so that a limiter of
 * `` `user:${string}` `` is refused where keys are any string. A method would take it.
 */
export interface LimiterLike<K extends string = string> {
  /** Decides on a call of `key` and records it if allowed. */
  readonly check: (key: K, options?: { readonly cost?: number | undefined }) => Promise<Decision>;
  /** Takes back what a decision spent. Needed by `refundWhen` only. */
  readonly refund?: ((decision: Decision) => Promise<boolean>) | undefined;
}

/**
 * Checks that `value` can do what a {@link LimiterLike} must, and returns it.
 *
 * @param refunds - whether it is to refund as well.
 * @throws TypeError when it cannot.
 */
export function limiterLike<K extends string>(name: string, value: unknown, refunds: boolean): LimiterLike<K> {
  const { check, refund } = (value ?? {}) as Partial<LimiterLike<K>>;
  if (typeof check !== "function") throw new TypeError(expected(name, "a limiter with a `check` function", value));
  if (refunds && typeof refund !== "function") {
    throw new TypeError(expected(name, "a limiter with a `refund` function, which `refundWhen` needs", value));
  }
  return value as LimiterLike<K>;
}
