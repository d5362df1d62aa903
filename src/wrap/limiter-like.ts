import type { Decision } from "../core/decision.js";
import { argumentError, memberOf } from "../core/validate.js";
import type { WaitOptions } from "../limiter/acquire-options.js";

/**
 * What the wrapper needs of a limiter, by structure: any limiter of this package, of another copy of it, or a fake.
 *
 * `check` is a property on purpose: parameters of a property's type are compared strictly, so that a limiter of
 * `` `user:${string}` `` is refused where keys are any string. A method would take it.
 */
export interface LimiterLike<K extends string = string> {
  /** Decides on a call of `key` and records it if allowed. */
  readonly check: (key: K, options?: { readonly cost?: number | undefined }) => Promise<Decision>;
  /** Waits until a call of `key` is admitted. Needed by `wait` only. */
  readonly acquire?: ((key: K, options?: WaitingCall) => Promise<Decision>) | undefined;
  /** Takes back what a decision spent. Needed by `refundWhen` only. */
  readonly refund?: ((decision: Decision) => Promise<boolean>) | undefined;
}

/** What a call that waits for its turn is given. */
export interface WaitingCall extends WaitOptions {
  readonly cost?: number | undefined;
}

/** Whether `limiter` is a function that finds a limiter, and not a limiter that can be called. */
export function isLookup<L>(limiter: L): limiter is Extract<L, (...given: never) => unknown> {
  return typeof limiter === "function" && memberOf(limiter, "check") === undefined;
}

/**
 * Checks that `value` can do what a {@link LimiterLike} must, and returns it.
 *
 * @param verbs - what it is to do beside `check`, with what needs it.
 * @throws TypeError when it cannot.
 */
export function limiterLike<K extends string>(
  name: string,
  value: unknown,
  verbs: Readonly<Record<"refund" | "acquire", boolean>>,
): LimiterLike<K> {
  const need = (verb: keyof LimiterLike<K>, why: string = ""): void => {
    if (typeof memberOf(value, verb) !== "function") {
      throw new TypeError(argumentError(name, `a limiter with a \`${verb}\` function${why}`, value));
    }
  };
  need("check");
  if (verbs.refund) need("refund", ", which `refundWhen` needs");
  if (verbs.acquire) need("acquire", ", which `wait` needs");
  return value as LimiterLike<K>;
}
