import { published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import { argumentError, memberOf } from "../core/validate.js";
import type { Limit } from "../core/limit.js";
import type { LimiterLike } from "../wrap/limiter-like.js";
import { limiterLike } from "../wrap/limiter-like.js";

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
  /** Whether misuse of it is warned of. @default true */
  readonly warnings?: boolean | undefined;
  /** What it is there for, where that is not to enforce a quota. */
  readonly guardsAgainst?: "abnormal-usage" | undefined;
}

/**
 * Checks that `value` is a limiter that HTTP can ask, and returns it.
 *
 * @throws TypeError when it is not: one of several tiers, say, which has to be told the tier.
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

/** Where one middleware is on the way twice, the first requests show it. */
const CALLS_TO_NOTE = 1000;

/** A limiter that was checked. What is the same for all requests is read once, which also keeps the prototype out of it. */
export class CheckedLimiter<K extends string = string> {
  readonly limiter: HttpLimiter<K>;
  /** The name in HTTP; undefined for a limiter that was given none. */
  readonly name: string | undefined;
  /** Whether a refusal is one of abnormal use, and not of a quota. */
  readonly guardsAgainstAbuse: boolean;
  /** Whether misuse of it is warned of. */
  readonly warns: boolean;
  /** How many further calls are noted, to see a request that is counted twice. Later calls cost nothing. */
  callsToNote: number;
  /** Whether it keeps its history in this process, so that history ends with it. */
  readonly isInMemory: boolean;
  readonly #answersAtOnce: boolean;
  readonly #saysItsLimits: boolean;

  constructor(limiter: HttpLimiter<K>) {
    const name = memberOf(limiter, "name");
    this.limiter = limiter;
    this.name = typeof name !== "string" || name === "default" ? undefined : name;
    this.guardsAgainstAbuse = memberOf(limiter, "guardsAgainst") === "abnormal-usage";
    this.warns = memberOf(limiter, "warnings") !== false;
    this.callsToNote = this.warns ? CALLS_TO_NOTE : 0;
    this.isInMemory = memberOf(limiter, "synchronous") === true;
    this.#answersAtOnce = this.isInMemory && memberOf(limiter, "checkSync") !== undefined;
    this.#saysItsLimits = memberOf(limiter, "limits") !== undefined;
  }

  /** The limits in force; undefined for a limiter that does not say. */
  get limits(): readonly Limit[] | undefined {
    return this.#saysItsLimits ? this.limiter.limits : undefined;
  }

  check(key: K, cost: number | undefined): Decision | Promise<Decision> {
    const options = cost === undefined ? undefined : { cost };
    if (this.#answersAtOnce && this.limiter.checkSync !== undefined) return this.limiter.checkSync(key, options);
    return options === undefined ? this.limiter.check(key) : this.limiter.check(key, options);
  }
}
