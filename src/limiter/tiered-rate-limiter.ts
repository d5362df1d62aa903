import type { Decision } from "../core/decision.js";
import { receiptOf } from "../core/decision.js";
import { argumentError, parseOptions, assertOneOf } from "../core/validate.js";
import type { LimitOptions } from "../core/limit.js";
import { enforceable } from "../core/limit.js";
import type { KeyState } from "../store/store.js";
import { namespaceName } from "../store/store.js";
import { AsyncRateLimiter } from "./async-rate-limiter.js";
import type { CallOptions, LimiterOptions } from "./options.js";
import { assertKey, checkedOptions, storeFrom } from "./options.js";
import type { AcquireOptions } from "./acquire-options.js";

/** Options of a {@link TieredRateLimiter}. */
export type TieredRateLimiterOptions<T extends string, K extends string = string> = {
  /** The limit of each tier, by its name: not empty, without `:`. At least one. */
  readonly tiers: Readonly<Record<T, Pick<LimitOptions, "maxCalls" | "period">>>;
} & LimiterOptions<K>;

/**
 * A limit for each tier of users: free, premium, enterprise, or any other names, which are known at compile time.
 *
 * It is one {@link AsyncRateLimiter} for each tier, and each tier has a history of its own: a user who moves to another
 * starts there with a full limit, and finds the old one's history on return. `reset(key)` forgets a key in all tiers. All
 * share one store, in which they are called `name/tier`.
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
    if (limits.length === 0) throw new RangeError(argumentError("tiers", "an object of at least one tier", "{}"));
    // All are checked before the first is made.
    const known = limits.map(([tier, limit]) => {
      if (tier === "")
        throw new RangeError(argumentError("tiers", "an object of tiers whose names are not empty", tier));
      const { maxCalls, period } = parseOptions(`tiers.${tier}`, limit, ["maxCalls", "period"]);
      enforceable({ maxCalls, period });
      return { tier, maxCalls, period, name: namespaceName(`${name}/${tier}`) };
    });
    const shared = storeFrom({ store, clock } as LimiterOptions<K>);
    const opened = new Map<string, AsyncRateLimiter<K>>();
    this.#tiers = opened;
    try {
      for (const { tier, ...limit } of known) {
        opened.set(tier, new AsyncRateLimiter<K>({ ...policy, ...limit, store: shared }));
      }
    } catch (error) {
      // The name of a tier is taken: those before it must not stay taken as well.
      this.close();
      throw error;
    }
  }

  /**
   * The limiter of one tier, for adapters and whatever else takes a limiter.
   *
   * @throws TypeError when `tier` is not a string, RangeError when there is no tier of that name.
   */
  tier(tier: T): AsyncRateLimiter<K> {
    const known = assertOneOf("tier", tier, [...this.#tiers.keys()]);
    return this.#tiers.get(known) as AsyncRateLimiter<K>;
  }

  /** Whether a call of `key` may go ahead; it is recorded if so. The short form of {@link check}. */
  async isAllowed(key: K, tier: T, options?: CallOptions): Promise<boolean> {
    return this.tier(tier).isAllowed(key, options);
  }

  /** Decides on a call of `key` by the limit of its tier, and records it if that lets it pass. */
  async check(key: K, tier: T, options?: CallOptions): Promise<Decision> {
    return this.tier(tier).check(key, options);
  }

  /** {@link check} without a promise. @throws TypeError where the store is not synchronous. */
  checkSync(key: K, tier: T, options?: CallOptions): Decision {
    return this.tier(tier).checkSync(key, options);
  }

  /** Waits until a call of `key` is admitted by the limit of its tier, and resolves with the decision. */
  async acquire(key: K, tier: T, options?: AcquireOptions): Promise<Decision> {
    return this.tier(tier).acquire(key, options);
  }

  /** What {@link check} would decide now. It spends nothing and writes nothing. */
  async peek(key: K, tier: T, options?: CallOptions): Promise<Decision> {
    return this.tier(tier).peek(key, options);
  }

  /** What the log of `key` holds in its tier. */
  async state(key: K, tier: T): Promise<KeyState> {
    return this.tier(tier).state(key);
  }

  /** Takes back what `decision` spent, whatever the tier, exactly that and once; true if anything was. */
  async refund(decision: Decision): Promise<boolean> {
    return receiptOf(decision)?.refund() ?? false;
  }

  /** Closes the limiters of all tiers: see {@link AsyncRateLimiter.close}. */
  close(): void {
    for (const limiter of this.#tiers.values()) limiter.close();
  }

  /** Forgets every key of every tier. */
  reset(): Promise<void>;
  /**
   * Forgets one key in all tiers: after an upgrade, say.
   *
   * @throws TypeError (as a rejection) when the key is not a string.
   */
  reset(key: K): Promise<void>;
  /** Forgets one key in one tier. A tier of undefined is a TypeError (as a rejection): it got lost. */
  reset(key: K, tier: T): Promise<void>;
  async reset(...target: [] | [key: K] | [key: K, tier: T]): Promise<void> {
    const [key, tier] = target;
    if (target.length > 0) assertKey(key);
    const limiters = target.length > 1 ? [this.tier(tier as T)] : [...this.#tiers.values()];
    await Promise.all(limiters.map((limiter) => (key === undefined ? limiter.reset() : limiter.reset(key))));
  }
}
