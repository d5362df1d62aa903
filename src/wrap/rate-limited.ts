import type { Decision } from "../core/decision.js";
import { RateLimitExceededError } from "../core/errors.js";
import {
  assertBoolean,
  typeError,
  parseOptions,
  memberOf,
  assertOptionalFunction,
  ownCopy,
  assertInteger,
} from "../core/validate.js";
import { warn } from "../core/callbacks.js";
import type { MaxCalls } from "../core/limit.js";
import { assertOwnMaxCalls } from "../core/limit.js";
import type { WaitOptions } from "../limiter/acquire-options.js";
import { parseAcquireOptions, WAIT_OPTIONS } from "../limiter/acquire-options.js";
import type { LimiterLike, WaitError, WaitingCall } from "./limiter-like.js";
import { isLookup, isWaitError, limiterLike } from "./limiter-like.js";

/**
 * Options of {@link rateLimited}.
 *
 * @typeParam P - the arguments that `keyOf` takes.
 * @typeParam R - the result of the wrapped function, for `refundWhen`.
 * @typeParam F - the result of `onRefused`.
 */
export interface RateLimitedOptions<P extends readonly unknown[], R = unknown, F = never> {
  /** The message of the error that a refusal throws, instead of the default one. */
  readonly message?: string | undefined;
  /**
   * Called for a refused call, with its `this` and arguments; returns or throws what the call results in.
   * @default throws a `RateLimitExceededError`
   */
  readonly onRefused?: ((decision: Decision, args: P) => F | PromiseLike<F>) | undefined;
  /** The cost of a call: a whole number, at least 1, or a function of the arguments that `keyOf` declares. @default 1 */
  readonly cost?: number | ((...args: P) => number) | undefined;
  /**
   * The `maxCalls` of a call in place of the limiter's own, as the option of `check`: a number, for a limiter of several limits an
   * object of numbers by name, or a function of the arguments that `keyOf` declares, which may be asynchronous.
   * @default the limits of the limiter
   */
  readonly maxCalls?: MaxCalls | ((...args: P) => MaxCalls | PromiseLike<MaxCalls>) | undefined;
  /**
   * Waits until the call is admitted, as `acquire` does, instead of refusing it: `true` without a timeout, or an object with
   * a `timeout` and a `maxQueue`. A wait that fails is a refusal: the error has a `waitFailedBy` that says why.
   * @default false
   */
  readonly wait?: boolean | WaitOptions | undefined;
  /**
   * Whether to refund an admitted call after it has ended: to count failed logins only, for example. An error here or in the
   * refund becomes a process warning, and does not change the outcome of the call.
   */
  readonly refundWhen?: ((outcome: PromiseSettledResult<R>) => boolean) | undefined;
}

/** Makes the key of a call from its first arguments, or from `this`. May be asynchronous. */
export type KeyOf<T, P extends readonly unknown[], K extends string> = (this: T, ...args: P) => K | PromiseLike<K>;

/**
 * Wraps a function, or decorates a method, so that a limiter checks each call first. A refused call throws a
 * `RateLimitExceededError`, and the function is not called.
 *
 * `this`, the types of the arguments, `name` and `length` are kept. The result is always a promise, so decorating a synchronous
 * method is a type error. It works as a standard decorator and with `experimentalDecorators`.
 *
 * @param limiter - an object with the methods of a limiter; or a function of `this` that returns one, for limiters that belong to
 *   an instance.
 * @param keyOf - makes the key from the arguments. The wrapped function may take more arguments.
 * @throws TypeError if an argument is invalid; as a rejection of the call, if what `limiter` or `keyOf` returns is invalid.
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
  const { cost = 1, maxCalls, message, onRefused, refundWhen, wait = false } = checked(keyOf, options);
  const limiterOf = limiterOfThis(limiter, { refund: refundWhen !== undefined, acquire: wait !== false });

  type Target = (this: T, ...args: [...P]) => R | PromiseLike<R>;
  type Wrapped = (this: T, ...args: [...P]) => Promise<R | F>;

  function wrap(target: Target): Wrapped {
    if (typeof target !== "function") throw typeError("target", "a function or a method", target);
    const wrapped: Wrapped = async function (...args) {
      const ownLimiter = limiterOf(this);
      const key = await keyOf.apply(this, args);
      const units = typeof cost === "function" ? cost.apply(this, args) : cost;
      const own = typeof maxCalls === "function" ? await maxCalls.apply(this, args) : maxCalls;
      // A function that returns undefined is a mistake: the call would have another limit than the one that was meant.
      const call =
        maxCalls === undefined
          ? { cost: units }
          : { cost: units, maxCalls: assertOwnMaxCalls("maxCalls(...args)", own) };
      const [isAllowed, decision, waitError] = await (wait === false
        ? checkedCall(ownLimiter, key, call)
        : admittedCall(ownLimiter, key, call, wait));
      if (!isAllowed) {
        if (onRefused !== undefined) return onRefused.call(this, decision, args);
        throw new RateLimitExceededError(decision, {
          message: message ?? waitError?.message,
          waitFailedBy: waitError?.waitFailedBy,
        });
      }
      if (refundWhen === undefined) return target.apply(this, args);
      const [outcome] = await Promise.allSettled([promiseOf(() => target.apply(this, args))]);
      await refundIfWanted(ownLimiter, decision, outcome, refundWhen);
      if (outcome.status === "rejected") throw outcome.reason;
      return outcome.value;
    };
    // For stack traces, and for code that dispatches by `length`.
    for (const property of ["name", "length"] as const) {
      Object.defineProperty(wrapped, property, ownCopy({ value: target[property], configurable: true }));
    }
    return wrapped;
  }

  function apply(
    target: unknown,
    context?: unknown,
    descriptor?: TypedPropertyDescriptor<Target>,
  ): Wrapped | TypedPropertyDescriptor<Wrapped> {
    // With `experimentalDecorators` there are three arguments, and the target is the prototype and not the method.
    if (descriptor !== undefined) {
      return ownCopy({ ...descriptor, value: wrap(descriptor.value as Target) }) as TypedPropertyDescriptor<Wrapped>;
    }
    const kind = memberOf(context, "kind") ?? "method";
    if (kind !== "method") throw typeError("target", "a function or a method", kind);
    return wrap(target as Target);
  }
  return apply as RateLimited<T, P, R, F>;
}

type CallResult = readonly [isAllowed: boolean, decision: Decision, waitError?: WaitError];

async function checkedCall<K extends string>(limiter: LimiterLike<K>, key: K, call: WaitingCall): Promise<CallResult> {
  const decision = await limiter.check(key, call);
  return [decision.allowed, decision];
}

/**
 * Waits until the call is admitted. A failed wait is treated as any other refusal, by `onRefused` and `message` too.
 *
 * Precondition: the limiter has an `acquire`.
 */
async function admittedCall<K extends string>(
  limiter: LimiterLike<K>,
  key: K,
  call: WaitingCall,
  wait: true | WaitOptions,
): Promise<CallResult> {
  try {
    const admitted = limiter.acquire?.(key, wait === true ? call : { ...wait, ...call });
    return [true, (await admitted) as Decision];
  } catch (error) {
    if (!isWaitError(error)) throw error;
    return [false, error.decision, error];
  }
}

/** Refunds a call if `refundWhen` returns true. It never rejects, because a failed refund must not change the outcome. */
async function refundIfWanted<K extends string, R>(
  limiter: LimiterLike<K>,
  decision: Decision,
  outcome: PromiseSettledResult<R>,
  refundWhen: (outcome: PromiseSettledResult<R>) => boolean,
): Promise<void> {
  try {
    if (assertBoolean("refundWhen(outcome)", refundWhen(outcome))) await limiter.refund?.(decision);
  } catch (error) {
    warn("SLUICEGATE_REFUND_FAILED", "A refund failed; the outcome of the call stands", error);
  }
}

/** Returns the limiter for a `this`: the given one, or the result of the given function. */
function limiterOfThis<T, K extends string>(
  limiter: LimiterLike<K> | ((self: T) => LimiterLike<K>),
  methods: Parameters<typeof limiterLike>[2],
): (self: T) => LimiterLike<K> {
  if (isLookup(limiter)) {
    return (self) => limiterLike("limiter(this)", limiter(self), methods);
  }
  const fixed = limiterLike<K>("limiter", limiter, methods);
  return () => fixed;
}

function checked<O extends RateLimitedOptions<never, never, unknown>>(keyOf: unknown, options: O): O {
  if (typeof keyOf !== "function") throw typeError("keyOf", "a function of the arguments", keyOf);
  const copy = parseOptions("options", options, ["message", "onRefused", "cost", "maxCalls", "refundWhen", "wait"]);
  const { message, cost, maxCalls, onRefused, refundWhen, wait } = copy;
  if (message !== undefined && typeof message !== "string") {
    throw typeError("message", "a string", message);
  }
  assertOptionalFunction("onRefused", onRefused);
  assertOptionalFunction("refundWhen", refundWhen);
  if (cost !== undefined && typeof cost !== "function") assertInteger("cost", cost, 1);
  if (maxCalls !== undefined && typeof maxCalls !== "function") assertOwnMaxCalls("maxCalls", maxCalls);
  if (typeof wait === "object") parseAcquireOptions(parseOptions("wait", wait, WAIT_OPTIONS));
  else if (wait !== undefined && typeof wait !== "boolean") {
    throw typeError("wait", "a boolean, or an object with a timeout or a maxQueue", wait);
  }
  return copy;
}

/** Turns the result of a call into a promise, which rejects if the call throws. */
async function promiseOf<R>(call: () => R | PromiseLike<R>): Promise<R> {
  return call();
}

/** What `rateLimited` returns: a wrapper of functions, and a decorator of methods. */
export interface RateLimited<T, P extends readonly unknown[], R, F> {
  /** Wraps a function, which may take more arguments than the key is made of. The result is always a promise. */
  <This extends T, A extends readonly [...P, ...unknown[]], V extends R>(
    target: (this: This, ...args: A) => V | PromiseLike<V>,
    // So that TypeScript does not choose this signature for a decorator.
    context?: undefined,
  ): (this: This, ...args: A) => Promise<V | F>;
  /** Decorates an asynchronous method: a standard decorator. */
  <This, M extends AsyncMethod>(
    target: M,
    context: ClassMethodDecoratorContext<This, M> & CompatibleTarget<This, M, T, P, R>,
  ): Decorated<M, F>;
  /** Decorates an asynchronous method under `experimentalDecorators`. */
  <This, M extends AsyncMethod>(
    target: This,
    name: string | symbol,
    descriptor: TypedPropertyDescriptor<M> & CompatibleTarget<This, M, T, P, R>,
  ): TypedPropertyDescriptor<Decorated<M, F>>;
}

// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any arguments and any `this`
type AsyncMethod = (this: any, ...args: any) => Promise<unknown>;

/** The type of a decorated method: its own type, also if it is generic, unless `onRefused` adds to its result. */
type Decorated<M extends AsyncMethod, F> = [F] extends [never]
  ? M
  : (this: ThisParameterType<M>, ...args: Parameters<M>) => Promise<Awaited<ReturnType<M>> | F>;

/** `unknown` for a compatible method; else a type with a property that no method has, whose type is the error message. */
type CompatibleTarget<This, M extends AsyncMethod, T, P extends readonly unknown[], R> = This extends T
  ? Arguments<M> extends readonly [...P, ...unknown[]]
    ? Awaited<ReturnType<M>> extends R
      ? unknown
      : IncompatibleTarget<"refundWhen expects another result than this method's">
    : IncompatibleTarget<"keyOf expects other arguments than this method's">
  : IncompatibleTarget<"the limiter is looked up on another class than this method's">;

/** `never` for a synchronous method, so that TypeScript reports the missing promise and not a mismatch of arguments. */
type Arguments<M extends AsyncMethod> = 0 extends 1 & Parameters<M> ? never : Parameters<M>;

interface IncompatibleTarget<Reason extends string> {
  readonly misfit: Reason;
}
