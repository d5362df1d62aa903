import type { Clock } from "../../core/clock.js";
import { clockFrom, monotonicClock } from "../../core/clock.js";
import { publish } from "../../core/copies.js";
import type { LockPolicy } from "../../core/locks.js";
import { rangeError, parseOptions, assertOneOf, assertInteger } from "../../core/validate.js";
import type { SyncNamespace, SyncStore } from "../store.js";
import { assertNameIsFree } from "../store.js";
import { StoreTime } from "../store-time.js";
import { Evictor } from "./evictor.js";
import { KeyTable } from "./key-table.js";
import { MemoryNamespace } from "./memory-namespace.js";

/** A `Map` throws at 2^24 entries. Deleted entries count until it is rehashed, and can be as many as the live ones. */
const MOST_KEYS = 2 ** 23;

/** Options of a {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /** The clock that calls are decided by. @default the process's monotonic clock */
  readonly clock?: Clock | undefined;
  /** The most keys held at once, over all namespaces. A whole number from 1 to 8,388,608. @default 1_000_000 */
  readonly maxKeys?: number | undefined;
  /**
   * What happens to a new key that there is no room for, if no visited key is idle: `"evict"` replaces a key that has calls left;
   * `"deny"` refuses the new key, so that every count stays exact, and new keys are locked out while the store is full.
   * @default "evict"
   */
  readonly onFull?: "evict" | "deny" | undefined;
}

/**
 * Keeps the logs of one process in memory. A limiter without a `store` option creates one.
 *
 * Idle keys, whose calls have all expired, are removed while calls are admitted, without a timer. A new key that there is no room
 * for replaces an idle key, or one that has calls left (counted in `evictions`), but never a key at its limit, a locked one, nor
 * one whose last call was refused for its cost. If only such keys are visited, the new key is refused, with
 * `refusedBy: "capacity"`. A key whose calls have expired is kept while it is locked or has strikes.
 *
 * Several limiters may share one store, with its cap and its clock; each needs a `name` then. Half of `maxKeys` is reserved for
 * them in equal parts, so that the keys of one cannot keep out those of another.
 *
 * @example
 * const store = new MemoryStore({ maxKeys: 100_000 });
 * const login = new AsyncRateLimiter({ ...RATE_LIMITS.login, name: "login", store });
 * const search = new AsyncRateLimiter({ ...RATE_LIMITS.apiSearch, name: "search", store });
 */
export class MemoryStore implements SyncStore {
  static {
    publish(this.prototype, "store");
  }

  /** `true`: its methods return values, and not promises. */
  readonly synchronous = true as const;

  /** The clock that calls are decided by. */
  readonly clock: Clock;

  readonly #time: StoreTime;
  readonly #evictor: Evictor;
  readonly #names = new Set<string>();

  /** @throws TypeError or RangeError when an option is invalid. */
  constructor(options: MemoryStoreOptions = {}) {
    const known = parseOptions("options", options, ["clock", "maxKeys", "onFull"]);
    const { clock = monotonicClock, maxKeys = 1_000_000, onFull = "evict" } = known;
    this.clock = clockFrom("clock", clock);
    const evicts = assertOneOf("onFull", onFull, ["evict", "deny"]) === "evict";
    this.#evictor = new Evictor(assertInteger("maxKeys", maxKeys, 1, MOST_KEYS), evicts);
    this.#time = new StoreTime(this.clock);
  }

  /** The number of keys in all namespaces, those included that are idle and not yet removed. */
  get size(): number {
    return this.#evictor.size;
  }

  /** How many keys with unexpired calls or strikes were replaced by new keys. Each may have been admitted more than its limit. */
  get evictions(): number {
    return this.#evictor.evictions;
  }

  /** Opens a namespace. Limiters do, in their constructors. @throws RangeError when the name is invalid, or in use. */
  open(name: string, periodsMs: readonly number[], locks?: LockPolicy): SyncNamespace {
    assertNameIsFree(name, this.#names);
    const table = new KeyTable(longestOf(periodsMs), locks);
    this.#names.add(name);
    this.#evictor.add(table);
    return new MemoryNamespace(this.#time, this.#evictor, table, () => {
      // A second close must not release the name for which a later namespace was opened.
      if (this.#evictor.remove(table)) this.#names.delete(name);
    });
  }
}

function longestOf(periodsMs: readonly number[]): number {
  for (const periodMs of periodsMs) assertInteger("periodsMs", periodMs, 1);
  if (periodsMs.length === 0) throw rangeError("periodsMs", "a list of at least one period", periodsMs);
  return Math.max(...periodsMs);
}
