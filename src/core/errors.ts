import type { Decision } from "./decision.js";
import { typeError, parseOptions } from "./validate.js";
import { retryAfterSeconds } from "./decision.js";

/** Why a wait failed: see {@link RateLimitExceededError.waitFailedBy}. */
export type WaitFailure = "timeout" | "queue-full" | "cost";

/** Options of a {@link RateLimitExceededError}. */
export interface RateLimitExceededErrorOptions {
  /** The message, instead of the default one. */
  readonly message?: string | undefined;
  /** The cause, as of any `Error`. */
  readonly cause?: unknown;
  /** Why a wait failed; `null` for an error that ends no wait. @default null */
  readonly waitFailedBy?: WaitFailure | null | undefined;
}

/**
 * A refusal as an exception, for code that cannot return one: thrown by functions that `rateLimited` wraps, by `acquire`, and by
 * applications. `check` and `isAllowed` never throw it.
 *
 * The message does not contain the key: messages are written to responses and logs, and keys may be e-mail addresses.
 *
 * @example
 * const decision = await limiter.check(email);
 * if (!decision.allowed) throw new RateLimitExceededError(decision);
 */
export class RateLimitExceededError extends Error {
  static {
    this.prototype.name = "RateLimitExceededError";
  }

  /** Identifies this error across copies of the package, where `instanceof` does not. */
  readonly code = "RATE_LIMIT_EXCEEDED" as const;

  /**
   * The HTTP status of the refusal, where frameworks look for it: 429 if the caller used its limit up; 503 if the service is short
   * of capacity (`decision.refusedBy` is `"load"` or `"capacity"`). The HTTP option `lockedStatus` makes it 403 for a locked key.
   */
  readonly status: 429 | 503 | 403;

  /** The same, for the frameworks that read this property. */
  readonly statusCode: 429 | 503 | 403;

  /**
   * Whole **seconds** until the call would be admitted, rounded up, for `Retry-After`: never more than the window of the
   * limit that refused, or the lock, rounded up. `Infinity` if no wait helps; send no such header then.
   */
  readonly retryAfter: number;

  /** The refusal. */
  readonly decision: Decision;

  /**
   * Why a wait of `acquire`, or of `rateLimited` with `wait`, failed; `null` if the error did not end a wait.
   *
   * - `"cost"`: no wait of a known length can help. The cost exceeds `maxCalls` of a limit in force (a limit of 0 refuses every
   *   cost), and `decision.retryAfterMs` is `Infinity`. With `decision.refusedBy: "load"` only a limit that load has reduced
   *   refuses the call, and nothing is known about when that limit rises.
   * - `"queue-full"`: as many calls of the key as `maxQueue` allows waited already. Always so with `maxQueue: 0`.
   * - `"timeout"`: the timeout ended. Or the first instant at which the call would be admitted lies behind it: then the error
   *   comes at once.
   *
   * If several apply, it is the first one of this list. A limit that is lowered while a call waits can turn a wait into
   * a failure by `"cost"`.
   */
  readonly waitFailedBy: WaitFailure | null;

  /** @throws TypeError if `decision` is not a decision, or an option is unknown. */
  constructor(decision: Decision, options: RateLimitExceededErrorOptions = {}) {
    if (typeof (decision as Partial<Decision> | undefined)?.retryAfterMs !== "number") {
      throw typeError("decision", "the decision that refused", decision);
    }
    const { message, cause, waitFailedBy } = parseOptions("options", options, ["message", "cause", "waitFailedBy"]);
    const retryAfter = retryAfterSeconds(decision);
    super(
      message ??
        `${decision.reason}: ${retryAfter === Infinity ? "no wait can admit this call" : `retry after ${String(retryAfter)} s`}`,
      cause === undefined ? undefined : { cause },
    );
    this.status = this.statusCode = isShortage(decision) ? 503 : 429;
    this.retryAfter = retryAfter;
    this.decision = decision;
    this.waitFailedBy = waitFailedBy ?? null;
  }
}

/** Whether the service is short of capacity, and the caller exceeded no quota of its own: a 503, and not a 429. */
export function isShortage({ refusedBy }: Decision): boolean {
  return refusedBy === "load" || refusedBy === "capacity";
}

/**
 * A call of a limiter that is closed: thrown by `checkSync`, and a rejection of every other method and of calls that
 * were waiting in `acquire`.
 *
 * It is an error of the calling code, as is a wrong key, and not a failure of the store: over HTTP it reaches the
 * framework's error handler, whatever `whenDown` says.
 */
export class LimiterClosedError extends Error {
  static {
    this.prototype.name = "LimiterClosedError";
  }

  /** Identifies this error across copies of the package, where `instanceof` does not. */
  readonly code = "LIMITER_CLOSED" as const;

  /** The HTTP status, for the frameworks that read it: a service that closes its limiters is shutting down. */
  readonly status = 503 as const;

  /** The same, for the frameworks that read this property. */
  readonly statusCode = 503 as const;
}

/**
 * A store that cannot decide: it is unreachable, out of memory, or in an invalid state. Never a refusal.
 *
 * `cause` is the error of the client or the server, if there was one.
 */
export class StoreError extends Error {
  static {
    this.prototype.name = "StoreError";
  }

  /** Identifies this error across copies of the package, where `instanceof` does not. */
  readonly code = "STORE_ERROR" as const;

  /** The HTTP status of a call that could not be decided, for the frameworks that read it. */
  readonly status = 503 as const;

  /** The same, for the frameworks that read this property. */
  readonly statusCode = 503 as const;
}
