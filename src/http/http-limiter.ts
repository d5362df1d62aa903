import { published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import { argumentError, memberOf } from "../core/validate.js";
import type { Limit } from "../core/limit.js";
import type { LimiterLike } from "../wrap/limiter-like.js";
import { limiterLike } from "../wrap/limiter-like.js";

/**
 * The members of a limiter that the HTTP middleware uses. The type is structural: a limiter of this package, a limiter of another
 * copy of it, and a fake all match. Only `check` is required.
 */
export interface HttpLimiter<K extends string = string> extends LimiterLike<K> {
  /** The name of its policies. `"default"`, the name of a limiter that was created without one, is ignored. */
  readonly name?: string | undefined;
  /** The limits that it enforces. Their names are checked when the middleware is created. */
  readonly limits?: readonly Limit[] | undefined;
  /** Whether {@link checkSync} is called in place of `check`, because it creates no promise. */
  readonly synchronous?: boolean | undefined;
  readonly checkSync?: ((key: K, options?: { readonly cost?: number | undefined }) => Decision) | undefined;
  /** Whether the middleware warns of misuse of the limiter. @default true */
  readonly warnings?: boolean | undefined;
  /** The purpose of the limiter; undefined if it enforces a quota. */
  readonly guardsAgainst?: "abnormal-usage" | undefined;
}

/**
 * Checks that the HTTP middleware can call `value` as a limiter, and returns it.
 *
 * @throws TypeError if it cannot: for example, a tiered limiter needs a tier for each call.
 */
export function httpLimiter<K extends string>(name: string, value: unknown, needsRefund: boolean): HttpLimiter<K> {
  if (typeof memberOf(value, "tier") === "function") {
    const rule = "the limiter of one tier: `limiter: (request) => tiers.tier(…)`";
    throw new TypeError(argumentError(name, rule, value));
  }
  if (published(name, value, "allOf") !== undefined) {
    throw new TypeError(
      argumentError(name, "one limiter: for several, each with a key of its own, use `limiters`", value),
    );
  }
  return limiterLike<K>(name, value, { refund: needsRefund, acquire: false });
}

/** The number of calls to note for each limiter. A middleware that is applied twice shows in the first requests. */
const CALLS_TO_NOTE = 1000;

/** A limiter that passed its checks. Members that never change are read once, ignoring those of `Object.prototype`. */
export class CheckedLimiter<K extends string = string> {
  readonly limiter: HttpLimiter<K>;
  /** The name in headers; undefined for a limiter without a name. */
  readonly name: string | undefined;
  /** Whether a refusal means abnormal use, and not an exceeded quota. */
  readonly guardsAgainstAbuse: boolean;
  /** Whether the middleware warns of misuse of the limiter. */
  readonly warns: boolean;
  /** The number of further calls to note, to detect a request that is counted twice. Later calls cost nothing. */
  callsToNote: number;
  /** Whether its logs are in the memory of this process, so that a new limiter starts empty. */
  readonly isInMemory: boolean;
  readonly #hasCheckSync: boolean;
  readonly #hasLimits: boolean;

  constructor(limiter: HttpLimiter<K>) {
    const name = memberOf(limiter, "name");
    this.limiter = limiter;
    this.name = typeof name !== "string" || name === "default" ? undefined : name;
    this.guardsAgainstAbuse = memberOf(limiter, "guardsAgainst") === "abnormal-usage";
    this.warns = memberOf(limiter, "warnings") !== false;
    this.callsToNote = this.warns ? CALLS_TO_NOTE : 0;
    this.isInMemory = memberOf(limiter, "synchronous") === true;
    this.#hasCheckSync = this.isInMemory && memberOf(limiter, "checkSync") !== undefined;
    this.#hasLimits = memberOf(limiter, "limits") !== undefined;
  }

  /** The limits in force; undefined for a limiter that does not publish them. */
  get limits(): readonly Limit[] | undefined {
    return this.#hasLimits ? this.limiter.limits : undefined;
  }

  check(key: K, cost: number | undefined): Decision | Promise<Decision> {
    const options = cost === undefined ? undefined : { cost };
    if (this.#hasCheckSync && this.limiter.checkSync !== undefined) return this.limiter.checkSync(key, options);
    return options === undefined ? this.limiter.check(key) : this.limiter.check(key, options);
  }
}
