import { typeError } from "../core/validate.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { AsyncRateLimiterOptions } from "./async-rate-limiter.js";
import { AsyncRateLimiter } from "./async-rate-limiter.js";
import type { StoreOptions } from "./options.js";
import { checkedOptions } from "./options.js";

/** Options of a {@link MemoryEfficientRateLimiter}: it creates its own store, and has no `store` option. */
export type MemoryEfficientRateLimiterOptions<K extends string = string> = Omit<
  AsyncRateLimiterOptions<K>,
  keyof StoreOptions
> &
  Extract<StoreOptions, { store?: undefined }> & {
    /** The most keys in memory. A whole number from 1 to 8,388,608. @default 10_000 */
    readonly maxKeys?: number | undefined;
    /**
     * What happens to a new key when the store is full: `"evict"` replaces a key that has calls left, and never one at its limit;
     * `"deny"` refuses the new key, so that every count stays exact, at the price of availability.
     * @default "evict"
     */
    readonly onFull?: "evict" | "deny" | undefined;
  };

/**
 * An {@link AsyncRateLimiter} with bounded memory: it never keeps more than `maxKeys` keys.
 *
 * It has its own `MemoryStore({ maxKeys, onFull })`. A key takes about 100 bytes, its own length, and 8 bytes for each unexpired
 * call. The guide "Memory and key caps" describes what a flood of new keys does in either mode.
 *
 * @example
 * const limiter = new MemoryEfficientRateLimiter({ maxCalls: 10, period: "1m", maxKeys: 10_000, onFull: "deny" });
 */
export class MemoryEfficientRateLimiter<in K extends string = string> extends AsyncRateLimiter<K> {
  readonly #store: MemoryStore;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: MemoryEfficientRateLimiterOptions<K>) {
    const checked = checkedOptions(options, ["maxCalls", "period", "maxKeys", "onFull"]);
    const { store: other } = checked as { store?: unknown };
    const { maxKeys = 10_000, onFull, clock, ...rest } = checked;
    if (other !== undefined) throw typeError("store", "absent: this limiter has its own", other);
    const store = new MemoryStore({ maxKeys, onFull, clock });
    super({ ...rest, store });
    this.#store = store;
  }

  /** The number of keys: those with unexpired calls, and idle ones that are not removed yet. Never above `maxKeys`. */
  get size(): number {
    return this.#store.size;
  }

  /** How many keys with unexpired calls were replaced by new keys. Always 0 with `onFull: "deny"`. */
  get evictions(): number {
    return this.#store.evictions;
  }
}
