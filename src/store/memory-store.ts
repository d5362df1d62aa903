import type { Clock } from "../core/clock.js";
import { clockFrom, monotonicClock } from "../core/clock.js";
import { publish } from "../core/copies.js";
import { expected, knownOptions, oneOf, wholeNumber } from "../core/expected.js";
import { StoreTime } from "../core/store-time.js";
import { Hand } from "./hand.js";
import { LogTable } from "./log-table.js";
import { judgeTogether } from "./memory-judgement.js";
import type { MemoryStoreParts } from "./memory-space.js";
import { MemorySpace } from "./memory-space.js";
import type { Ask, Judgement, Store } from "./store.js";
import { checkSpaceName } from "./store.js";

/**
 * The most keys a store can be asked to hold. They are spread over many maps, but whoever chooses his keys can have
 * them all in one, and a `Map` throws at 2^24 entries, those included that were deleted since it last rearranged itself: under
 * a churn of new keys as many again as live ones.
 */
const MOST_KEYS = 2 ** 23;

/** Options of a {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /** What time it is. @default the process's monotonic clock */
  readonly clock?: Clock | undefined;
  /** The most keys held at once, over all spaces. A whole number from 1 to 8,388,608. @default 1_000_000 */
  readonly maxKeys?: number | undefined;
  /**
   * What a new key finds at `maxKeys`, where none of the keys looked at is idle: `"evict"` takes the place of one that has
   * calls left; `"deny"` refuses the newcomer, which keeps every key's count exact, at the price that newcomers are locked
   * out while the store is full.
   * @default "evict"
   */
  readonly onFull?: "evict" | "deny" | undefined;
}

/**
 * Keeps the logs of one process in memory: the store of every limiter that is given none.
 *
 * Keys of which no call is live are reclaimed as calls are admitted, without a timer. At `maxKeys` a new key takes the
 * place of one that nobody misses, or of one with few live calls (counted in `evictions`), but never of a key that stands
 * at its limit; where only such keys are found the newcomer is refused, with `refusedBy: "capacity"`.
 *
 * Hand one store to several limiters to have them share its cap and its clock; give each a `name` then.
 *
 * @example
 * const store = new MemoryStore({ maxKeys: 100_000 });
 * const login = new AsyncRateLimiter({ ...RATE_LIMITS.login, name: "login", store });
 * const search = new AsyncRateLimiter({ ...RATE_LIMITS.apiSearch, name: "search", store });
 */
export class MemoryStore implements Store {
  static {
    publish(this.prototype, "store");
  }

  /** Every verb answers at once. */
  readonly synchronous = true as const;

  /** What time it is here. */
  readonly clock: Clock;

  readonly #hand: Hand;
  readonly #parts: MemoryStoreParts;
  readonly #names = new Set<string>();

  /** @throws TypeError or RangeError when an option is not fit. */
  constructor(options: MemoryStoreOptions = {}) {
    const known = knownOptions("options", options, ["clock", "maxKeys", "onFull"]);
    const { clock = monotonicClock, maxKeys = 1_000_000, onFull = "evict" } = known;
    this.clock = clockFrom("clock", clock);
    const evicts = oneOf("onFull", onFull, ["evict", "deny"]) === "evict";
    this.#hand = new Hand(wholeNumber("maxKeys", maxKeys, 1, MOST_KEYS), evicts);
    this.#parts = { time: new StoreTime(this.clock), hand: this.#hand };
  }

  /** How many keys are remembered, over all spaces: those with live calls, and idle ones not yet reclaimed. */
  get size(): number {
    return this.#hand.size;
  }

  /** How many keys with live calls were forgotten to make room. Each may have been let through more than its limit. */
  get evictions(): number {
    return this.#hand.evictions;
  }

  /** Opens a space: limiters do, at their construction. @throws RangeError when the name is not fit, or taken. */
  open(name: string, periodsMs: readonly number[]): MemorySpace {
    checkSpaceName(name, this.#names);
    const table = new LogTable(longestOf(periodsMs), this.#hand.census);
    this.#names.add(name);
    this.#hand.add(table);
    return new MemorySpace(this.#parts, table, () => {
      // A second close must not release the name for which a later space was opened.
      if (this.#hand.remove(table)) this.#names.delete(name);
    });
  }

  judge(asks: readonly Ask[]): Judgement {
    return judgeTogether(this.#parts, asks);
  }
}

function longestOf(periodsMs: readonly number[]): number {
  for (const periodMs of periodsMs) wholeNumber("periodsMs", periodMs, 1);
  if (periodsMs.length === 0) throw new RangeError(expected("periodsMs", "a list of at least one period", periodsMs));
  return Math.max(...periodsMs);
}
