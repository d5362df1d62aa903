import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import type { Duration } from "../core/duration.js";
import { rangeError, parseOptions, assertOneOf } from "../core/validate.js";
import type { LimitOptions, MaxCallsByName } from "../core/limit.js";
import { assertMaxCalls, limitFrom } from "../core/limit.js";
import type { KeyState } from "../store/store.js";
import { assertNamespaceName } from "../store/store.js";
import { AsyncRateLimiter } from "./async-rate-limiter.js";
import type { CallOptions, LimiterOptions, UnlockOptions } from "./options.js";
import { assertKey, checkedOptions, storeFrom } from "./options.js";
import type { AcquireOptions } from "./acquire-options.js";

/** Options of a {@link TieredRateLimiter}. */
export type TieredRateLimiterOptions<T extends string, K extends string = string> = {
  /** The limits by the names of the tiers, which are not empty and have no `:`. At least one. */
  readonly tiers: Readonly<Record<T, Pick<LimitOptions, "maxCalls" | "period">>>;
} & LimiterOptions<K>;

/**
 * A limit for each tier of users: free, premium, enterprise, or any other names, which are known at compile time.
 *
 * It has one {@link AsyncRateLimiter} for each tier, and each tier has its own logs: a user who changes the tier starts with an
 * unused limit, and has the former log again on return. `reset(key)` forgets a key in all tiers. All tiers share one store, under
 * the names `name/tier`.
 *
 * @example
 * const limiter = new TieredRateLimiter({ tiers: USER_TIERS });
 * if (!(await limiter.isAllowed(user.id, user.tier))) return reply.status(429).send();
 */
export class TieredRateLimiter<in T extends string, in K extends string = string> {
  readonly #tiers: ReadonlyMap<string, AsyncRateLimiter<K>>;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: TieredRateLimiterOptions<T, K>) {
    const { tiers, store, clock, name = "default", ...policy } = checkedOptions(options, ["tiers"]);
    const limits = Object.entries<Pick<LimitOptions, "maxCalls" | "period">>(
      parseOptions("tiers", tiers, Object.keys(Object(tiers) as object)),
    );
    if (limits.length === 0) throw rangeError("tiers", "an object of at least one tier", "{}");
    // All are checked before the first is created.
    const parsed = limits.map(([tier, limit]) => {
      if (tier === "") throw rangeError("tiers", "an object of tiers whose names are not empty", tier);
      const { maxCalls, period } = parseOptions(`tiers.${tier}`, limit, ["maxCalls", "period"]);
      limitFrom({ maxCalls, period });
      return { tier, maxCalls, period, name: assertNamespaceName(`${name}/${tier}`) };
    });
    const shared = storeFrom({ store, clock } as LimiterOptions<K>);
    const opened = new Map<string, AsyncRateLimiter<K>>();
    this.#tiers = opened;
    try {
      for (const { tier, ...limit } of parsed) {
        opened.set(tier, new AsyncRateLimiter<K>({ ...policy, ...limit, store: shared }));
      }
    } catch (error) {
      // The name of a tier is in use: release the names of those before it.
      this.close();
      throw error;
    }
  }

  /**
   * Returns the limiter of one tier, for adapters and other code that takes a limiter.
   *
   * @throws TypeError if `tier` is not a string, RangeError if there is no tier of that name.
   */
  tier(tier: T): AsyncRateLimiter<K> {
    const limiter = this.#tiers.get(tier);
    if (limiter === undefined) assertOneOf("tier", tier, [...this.#tiers.keys()]);
    return limiter as AsyncRateLimiter<K>;
  }

  /** Checks whether a call of `key` is allowed, and records it if it is. The short form of {@link check}. */
  async isAllowed(key: K, tier: T, options?: CallOptions<number>): Promise<boolean> {
    return this.tier(tier).isAllowed(key, options);
  }

  /** Decides a call of `key` by the limit of its tier, and records it if it is allowed. */
  async check(key: K, tier: T, options?: CallOptions<number>): Promise<Decision> {
    return this.tier(tier).check(key, options);
  }

  /** {@link check} without a promise. @throws TypeError if the store is not synchronous. */
  checkSync(key: K, tier: T, options?: CallOptions<number>): Decision {
    return this.tier(tier).checkSync(key, options);
  }

  /** Waits until a call of `key` is admitted by the limit of its tier, and resolves with the decision. */
  async acquire(key: K, tier: T, options?: AcquireOptions<number>): Promise<Decision> {
    return this.tier(tier).acquire(key, options);
  }

  /** Returns what {@link check} would decide now. It records nothing. */
  async peek(key: K, tier: T, options?: CallOptions<number>): Promise<Decision> {
    return this.tier(tier).peek(key, options);
  }

  /** Locks `key` in its tier for a duration: see {@link AsyncRateLimiter.lock}. */
  async lock(key: K, tier: T, duration: Duration): Promise<void> {
    return this.tier(tier).lock(key, duration);
  }

  /** Removes the lock and the strikes of `key` in its tier: see {@link AsyncRateLimiter.unlock}. */
  async unlock(key: K, tier: T, options?: UnlockOptions): Promise<boolean> {
    return this.tier(tier).unlock(key, options);
  }

  /** Returns the unexpired calls of `key` in its tier, its lock and its strikes there. */
  async state(key: K, tier: T): Promise<KeyState> {
    return this.tier(tier).state(key);
  }

  /** Removes what `decision` recorded, whatever the tier, exactly that and once; true if anything was removed. */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /**
   * Changes the limits of some tiers for all later calls: see {@link AsyncRateLimiter.setMaxCalls}. The `maxCalls` of one call is
   * an option of the call, a number.
   *
   * @throws TypeError for a wrong type or the name of no tier, RangeError for a number out of range. No limit is changed then.
   *
   * @example
   * limiter.setMaxCalls({ free: 50 });
   */
  setMaxCalls(maxCalls: Readonly<Partial<Record<T, number | undefined>>>): void {
    const byTier = parseOptions<MaxCallsByName>("maxCalls", maxCalls, [...this.#tiers.keys()]);
    const changes = Object.entries(byTier).flatMap(([tier, calls]) =>
      calls === undefined ? [] : [[this.#tiers.get(tier), assertMaxCalls(`maxCalls.${tier}`, calls)] as const],
    );
    for (const [limiter, calls] of changes) limiter?.setMaxCalls(calls);
  }

  /** Closes the limiters of all tiers: see {@link AsyncRateLimiter.close}. */
  close(): void {
    for (const limiter of this.#tiers.values()) limiter.close();
  }

  /** Forgets every key of every tier. */
  reset(): Promise<void>;
  /**
   * Forgets one key in all tiers, after an upgrade for example.
   *
   * @throws TypeError (as a rejection) if the key is not a string.
   */
  reset(key: K): Promise<void>;
  /** Forgets one key in one tier. A tier of undefined is a TypeError (as a rejection), because it is more likely a mistake. */
  reset(key: K, tier: T): Promise<void>;
  async reset(...target: [] | [key: K] | [key: K, tier: T]): Promise<void> {
    const [key, tier] = target;
    if (target.length > 0) assertKey(key);
    const limiters = target.length > 1 ? [this.tier(tier as T)] : [...this.#tiers.values()];
    await Promise.all(limiters.map((limiter) => (key === undefined ? limiter.reset() : limiter.reset(key))));
  }
}

/**
 * Limits for tiers of users, for a `TieredRateLimiter`. Periods are in seconds.
 *
 * @example
 * const limiter = new TieredRateLimiter({ tiers: USER_TIERS });
 */
export const USER_TIERS = {
  /** 100 per hour. */
  free: { maxCalls: 100, period: 3600 },
  /** 1000 per hour. */
  premium: { maxCalls: 1000, period: 3600 },
  /** 10,000 per hour. */
  enterprise: { maxCalls: 10_000, period: 3600 },
} as const;
