import type { Decision } from "../core/decision.js";
import type { RateLimitExceededError } from "../core/errors.js";
import { typeError, memberOf } from "../core/validate.js";
import type { WaitSignal } from "../limiter/abort.js";
import type { WaitOptions } from "../limiter/acquire-options.js";

/**
 * The methods of a limiter that `rateLimited` and HTTP need: any limiter of this package, of another copy of it, or a fake.
 *
 * `check` is a property, because TypeScript compares the parameters of a property strictly: a limiter of `` `user:${string}` `` is
 * a type error where keys are any string. With a method it would be accepted.
 */
export interface LimiterLike<K extends string = string> {
  /** Decides a call of `key`, and records it if it is allowed. Its options have a `maxCalls` only where the caller sets one. */
  readonly check: (key: K, options?: { readonly cost?: number | undefined }) => Promise<Decision>;
  /** Waits until a call of `key` is admitted. Needed for `wait` only. */
  readonly acquire?: ((key: K, options?: WaitingCall) => Promise<Decision>) | undefined;
  /** Removes what a decision recorded. Needed for `refundWhen` only. */
  readonly refund?: ((decision: Decision) => Promise<boolean>) | undefined;
}

/** Options of a call that waits. */
export interface WaitingCall extends WaitOptions {
  /** How many calls it counts as. A whole number of at least 1. @default 1 */
  readonly cost?: number | undefined;
  /** Ends the wait when it is aborted, with its reason. */
  readonly signal?: WaitSignal | undefined;
}

/** The error of a failed wait, thrown by any copy of the package. */
export type WaitError = Pick<RateLimitExceededError, "decision" | "message" | "waitFailedBy">;

/** Whether an error of `acquire` is a refusal. By code and not by class, because the limiter may be of another copy of the package. */
export function isWaitError(error: unknown): error is WaitError {
  return memberOf(error, "code") === "RATE_LIMIT_EXCEEDED" && memberOf(error, "decision") !== undefined;
}

/** Whether `limiter` is a function that returns a limiter, and not a limiter that is a function. */
export function isLookup<L>(limiter: L): limiter is Extract<L, (...given: never) => unknown> {
  return typeof limiter === "function" && memberOf(limiter, "check") === undefined;
}

/**
 * Checks that `value` has the methods of a {@link LimiterLike}, and returns it.
 *
 * @param methods - which methods it needs in addition to `check`.
 * @throws TypeError if a method is missing.
 */
export function limiterLike<K extends string>(
  name: string,
  value: unknown,
  methods: Readonly<Record<"refund" | "acquire", boolean>>,
): LimiterLike<K> {
  const assertMethod = (method: keyof LimiterLike<K>, reason: string = ""): void => {
    if (typeof memberOf(value, method) !== "function") {
      throw typeError(name, `a limiter with a \`${method}\` function${reason}`, value);
    }
  };
  assertMethod("check");
  if (methods.refund) assertMethod("refund", ", which `refundWhen` needs");
  if (methods.acquire) assertMethod("acquire", ", which `wait` needs");
  return value as LimiterLike<K>;
}
