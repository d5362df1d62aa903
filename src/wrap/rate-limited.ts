import type { Decision } from "../core/decision.js";
import { RateLimitExceededError } from "../core/errors.js";
import {
  argumentError,
  parseOptions,
  memberOf,
  assertOptionalFunction,
  ownCopy,
  assertInteger,
} from "../core/validate.js";
import { warn } from "../core/callbacks.js";
import type { WaitOptions } from "../limiter/acquire-options.js";
import { parseAcquireOptions, WAIT_OPTIONS } from "../limiter/acquire-options.js";
import type { LimiterLike, WaitingCall } from "./limiter-like.js";
import type { RateLimited } from "./types.js";
import { isLookup, limiterLike } from "./limiter-like.js";

/**
 * Options of {@link rateLimited}.
 *
 * @typeParam P - the arguments that the key is made of.
 * @typeParam R - what the wrapped function results in, for `refundWhen`.
 * @typeParam F - what `onRefused` returns in its place.
 */
export interface RateLimitedOptions<P extends readonly unknown[], R = unknown, F = never> {
  /** The message of the error that a refusal throws, in place of the default one. */
  readonly message?: string | undefined;
  /** What to return, or throw, in place of a `RateLimitExceededError`. Called with the `this` and arguments of the call. */
  readonly onRefused?: ((decision: Decision, args: P) => F | PromiseLike<F>) | undefined;
  /** What a call spends: a whole number, at least 1, or a function of the arguments that `keyOf` declares. @default 1 */
  readonly cost?: number | ((...args: P) => number) | undefined;
  /**
   * Waits until the call is admitted, as `acquire` does, instead of refusing it: `true` without a timeout, or an object with
   * a `timeout` and a `maxQueue`. A wait that fails is a refusal: the error has a `waitFailedBy` that says why.
   * @default false
   */
  readonly wait?: boolean | WaitOptions | undefined;
  /**
   * Whether a call that was let through is to be given back, now that it has ended: to count failed logins only, say. What
   * goes wrong here or in the refund becomes a process warning, and the outcome stays what it was.
   */
  readonly refundWhen?: ((outcome: PromiseSettledResult<R>) => boolean) | undefined;
}

/** Makes the key of a call from its first arguments, or from `this`. May be asynchronous. */
export type KeyOf<T, P extends readonly unknown[], K extends string> = (this: T, ...args: P) => K | PromiseLike<K>;

/**
 * Wraps a function, or decorates a method, so that each call first asks a limiter. A refusal throws a
 * `RateLimitExceededError`, and the function is not called.
 *
 * `this`, the types of the arguments, `name` and `length` are kept. The result is always a promise, so a synchronous
 * method is no target of the decorator, and says so when it is compiled. Standard decorators and `experimentalDecorators`
 * take the same export.
 *
 * @param limiter - any limiter by structure; or a function of `this` that returns it, for limiters that each instance has
 *   for itself.
 * @param keyOf - makes the key from the arguments. The target may take more of them than it does.
 * @throws TypeError when an argument is not fit, here or, for what a function returns, as a rejection at the call.
 *
 * @example
 * const sendReset = rateLimited(limiter, (email: string) => email)(async (email: string) => mailer.send(email));
 *
 * @example
 * class Accounts {
 *   readonly resets = new AsyncRateLimiter(RATE_LIMITS.passwordReset);
 *
 *   \@rateLimited((self: Accounts) => self.resets, (email: string) => email)
 *   async requestPasswordReset(email: string): Promise<void> {}
 * }
 */
export function rateLimited<T, K extends string, P extends readonly unknown[], R = unknown, F = never>(
  limiter: LimiterLike<K>,
  keyOf: KeyOf<T, P, K>,
  options?: RateLimitedOptions<P, R, F>,
): RateLimited<T, P, R, F>;
export function rateLimited<T, K extends string, P extends readonly unknown[], R = unknown, F = never>(
  limiter: (self: T) => LimiterLike<K>,
  keyOf: KeyOf<T, P, K>,
  options?: RateLimitedOptions<P, R, F>,
): RateLimited<T, P, R, F>;
export function rateLimited<T, K extends string, P extends readonly unknown[], R, F>(
  limiter: LimiterLike<K> | ((self: T) => LimiterLike<K>),
  keyOf: KeyOf<T, P, K>,
  options: RateLimitedOptions<P, R, F> = {},
): RateLimited<T, P, R, F> {
  const { cost = 1, message, onRefused, refundWhen, wait = false } = checked(keyOf, options);
  const limiterOf = limiterOfThis(limiter, { refund: refundWhen !== undefined, acquire: wait !== false });

  type Target = (this: T, ...args: [...P]) => R | PromiseLike<R>;
  type Guarded = (this: T, ...args: [...P]) => Promise<R | F>;

  function guard(target: Target): Guarded {
    if (typeof target !== "function") throw new TypeError(argumentError("target", "a function or a method", target));
    const guarded: Guarded = async function (...args) {
      const asked = limiterOf(this);
      const key = await keyOf.apply(this, args);
      const call = { cost: typeof cost === "function" ? cost.apply(this, args) : cost };
      const [isAllowed, decision, waitError] = await (wait === false
        ? checkedCall(asked, key, call)
        : admittedCall(asked, key, call, wait));
      if (!isAllowed) {
        if (onRefused !== undefined) return onRefused.call(this, decision, args);
        throw new RateLimitExceededError(decision, {
          message: message ?? waitError?.message,
          waitFailedBy: waitError?.waitFailedBy,
        });
      }
      if (refundWhen === undefined) return target.apply(this, args);
      const [outcome] = await Promise.allSettled([promiseOf(() => target.apply(this, args))]);
      await giveBack(asked, decision, outcome, refundWhen);
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    };
    // What the target shows of itself, in stack traces and to whatever dispatches by `length`.
    for (const property of ["name", "length"] as const) {
      Object.defineProperty(guarded, property, ownCopy({ value: target[property], configurable: true }));
    }
    return guarded;
  }

  function apply(
    target: unknown,
    context?: unknown,
    descriptor?: TypedPropertyDescriptor<Target>,
  ): Guarded | TypedPropertyDescriptor<Guarded> {
    // Three arguments are an `experimentalDecorators` call, whose target is the prototype and not the method.
    if (descriptor !== undefined) {
      return ownCopy({ ...descriptor, value: guard(descriptor.value as Target) }) as TypedPropertyDescriptor<Guarded>;
    }
    const kind = memberOf(context, "kind") ?? "method";
    if (kind !== "method") throw new TypeError(argumentError("target", "a function or a method", kind));
    return guard(target as Target);
  }
  return apply as RateLimited<T, P, R, F>;
}

/** The error that ended the wait, whatever copy of the package has thrown it. */
type WaitError = Pick<RateLimitExceededError, "decision" | "message" | "waitFailedBy">;

type Answer = readonly [isAllowed: boolean, decision: Decision, waitError?: WaitError];

async function checkedCall<K extends string>(limiter: LimiterLike<K>, key: K, call: WaitingCall): Promise<Answer> {
  const decision = await limiter.check(key, call);
  return [decision.allowed, decision];
}

/**
 * Waits until the call is admitted. A failed wait is a refusal like any other, for `onRefused` and `message` as well.
 *
 * Precondition: the limiter has an `acquire`.
 */
async function admittedCall<K extends string>(
  limiter: LimiterLike<K>,
  key: K,
  call: WaitingCall,
  wait: true | WaitOptions,
): Promise<Answer> {
  try {
    const admitted = limiter.acquire?.(key, wait === true ? call : { ...wait, ...call });
    return [true, (await admitted) as Decision];
  } catch (error) {
    // By its code and not its class: the limiter may be of another copy of the package.
    if (memberOf(error, "code") !== "RATE_LIMIT_EXCEEDED" || memberOf(error, "decision") === undefined) throw error;
    return [false, (error as WaitError).decision, error as WaitError];
  }
}

/** Gives a call back if `refundWhen` says so. It never rejects: the outcome is the caller's, whatever becomes of this. */
async function giveBack<K extends string, R>(
  limiter: LimiterLike<K>,
  decision: Decision,
  outcome: PromiseSettledResult<R>,
  refundWhen: (outcome: PromiseSettledResult<R>) => boolean,
): Promise<void> {
  try {
    const answer: unknown = refundWhen(outcome);
    if (typeof answer !== "boolean") throw new TypeError(argumentError("refundWhen(outcome)", "a boolean", answer));
    if (answer) await limiter.refund?.(decision);
  } catch (error) {
    warn("A refund failed; the outcome of the call stands", error);
  }
}

/** The limiter for a `this`: the one given, or the one a function finds for it. */
function limiterOfThis<T, K extends string>(
  limiter: LimiterLike<K> | ((self: T) => LimiterLike<K>),
  verbs: Parameters<typeof limiterLike>[2],
): (self: T) => LimiterLike<K> {
  if (isLookup(limiter)) {
    return (self) => limiterLike("limiter(this)", limiter(self), verbs);
  }
  const fixed = limiterLike<K>("limiter", limiter, verbs);
  return () => fixed;
}

function checked<O extends RateLimitedOptions<never, never, unknown>>(keyOf: unknown, options: O): O {
  if (typeof keyOf !== "function") throw new TypeError(argumentError("keyOf", "a function of the arguments", keyOf));
  const copy = parseOptions("options", options, ["message", "onRefused", "cost", "refundWhen", "wait"]);
  const { message, cost, onRefused, refundWhen, wait } = copy;
  if (message !== undefined && typeof message !== "string") {
    throw new TypeError(argumentError("message", "a string", message));
  }
  assertOptionalFunction("onRefused", onRefused);
  assertOptionalFunction("refundWhen", refundWhen);
  if (cost !== undefined && typeof cost !== "function") assertInteger("cost", cost, 1);
  if (typeof wait === "object") parseAcquireOptions(parseOptions("wait", wait, WAIT_OPTIONS));
  else if (wait !== undefined && typeof wait !== "boolean") {
    throw new TypeError(argumentError("wait", "a boolean, or an object with a timeout or a maxQueue", wait));
  }
  return copy;
}

/** A call as a promise, even where it throws at once. */
async function promiseOf<R>(call: () => R | PromiseLike<R>): Promise<R> {
  return call();
}
