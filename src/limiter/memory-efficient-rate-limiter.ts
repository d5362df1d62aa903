import { argumentError } from "../core/validate.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { AsyncRateLimiterOptions } from "./async-rate-limiter.js";
import { AsyncRateLimiter } from "./async-rate-limiter.js";
import type { StoreOptions } from "./options.js";
import { checkedOptions } from "./options.js";

/** Options of a {@link MemoryEfficientRateLimiter}: it has a store of its own, and takes none. */
export type MemoryEfficientRateLimiterOptions<K extends string = string> = Omit<
  AsyncRateLimiterOptions<K>,
  keyof StoreOptions
> &
  Extract<StoreOptions, { store?: undefined }> & {
    /** The most keys held at once. A whole number from 1 to 8,388,608. @default 10_000 */
    readonly maxKeys?: number | undefined;
    /**
     * What a new key finds where the store is full: `"evict"` takes the place of one with calls left, never of one at its
     * limit; `"deny"` refuses the newcomer, so that every count stays exact, at the price of availability.
     * @default "evict"
     */
    readonly onFull?: "evict" | "deny" | undefined;
  };

const OWN = ["maxCalls", "period"];

/**
 * An {@link AsyncRateLimiter} whose memory is capped: it never holds more than `maxKeys` keys, at any instant.
 *
 * It is one over a `MemoryStore({ maxKeys, onFull })` of its own. A key takes about 100 bytes, its own length, and 8 bytes
 * for each live call; see the README for what a flood of new keys does to either mode.
 *
 * @example
 * const limiter = new MemoryEfficientRateLimiter({ maxCalls: 10, period: "1m", maxKeys: 10_000, onFull: "deny" });
 */
export class MemoryEfficientRateLimiter<in K extends string = string> extends AsyncRateLimiter<K> {
  readonly #store: MemoryStore;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: MemoryEfficientRateLimiterOptions<K>) {
    const checked = checkedOptions(options, [...OWN, "maxKeys", "onFull"]);
    const { store: foreign } = checked as { store?: unknown };
    const { maxKeys = 10_000, onFull, clock, ...rest } = checked;
    if (foreign !== undefined) throw new TypeError(argumentError("store", "absent: this limiter has its own", foreign));
    const store = new MemoryStore({ maxKeys, onFull, clock });
    super({ ...rest, store });
    this.#store = store;
  }

  /** How many keys are held: those with live calls, and idle ones not yet reclaimed. Never above `maxKeys`. */
  get size(): number {
    return this.#store.size;
  }

  /** How many keys with live calls were forgotten for newcomers. Always 0 with `onFull: "deny"`. */
  get evictions(): number {
    return this.#store.evictions;
  }
}
