import type { Clock } from "../../core/clock.js";
import type { Limit } from "../../core/limit.js";
import type { StoreResult } from "../store.js";

/** The most keys in a map. A full map is cleared: each forgotten key costs one command. */
const MOST_KEYS = 10_000;

/** When a call was sent, and the number of changes before it. */
export interface RequestStamp {
  readonly at: number;
  readonly changes: number;
}

/** How long the server refuses a call. */
export interface Wait {
  /** Milliseconds until the call can pass at the earliest; `Infinity` if it never can. */
  readonly retryAfterMs: number;
  /** Milliseconds until the lock of the key ends. @default 0, for none */
  readonly lockedForMs?: number;
}

/** A refusal by the server. */
interface Denial {
  readonly limits: readonly Limit[];
  readonly cost: number;
  /** Undefined if only the wait is known. */
  readonly result: StoreResult | undefined;
  readonly receivedAt: number;
  /** The first instant at which the call could pass; `Infinity` for never. */
  readonly freeAt: number;
  /** Until when its key is certainly locked; `-Infinity` if it was not. */
  readonly lockedUntil: number;
  /** Calls are refused by it until then. */
  until: number;
  /** Whether a call was sent after `until`, to find out if the denial still holds. */
  isReviewed: boolean;
}

/**
 * Refuses calls that the server has refused before, so that a key under attack costs one command a second, and not one for each call.
 * It swallows no strike: a call whose refusal may be one is refused only while its key is locked.
 *
 * A denial holds until the first instant at which the call could pass, and no longer than `maxAgeMs`: for calls of at least
 * its cost, by limits none of which is higher. It is counted from when the call was sent, so it never holds too long. After
 * `maxAgeMs` one call is sent to review it. Its reply replaces or drops the denial, and other calls are refused until then,
 * for `maxAgeMs` more at most. A reset or a refund by a limiter of this process drops the denials of its key at once, in every
 * cache of the namespace (see {@link whileChanging}); one in another process is seen by the review.
 */
export class DenyCache {
  readonly #maxAgeMs: number;
  readonly #clock: Clock;
  readonly #denials = new Map<string, Denial>();
  /** The number of the latest change of each key, counted over all keys: a denial of a call that was sent before it is not stored. */
  readonly #changed = new Map<string, number>();
  #changes = 0;
  /** The number of the latest change that may have affected any key. */
  #changedAll = 0;

  /**
   * @param maxAgeMs - 0 to keep nothing.
   * @param clock - never goes back.
   */
  constructor(maxAgeMs: number, clock: Clock) {
    this.#maxAgeMs = maxAgeMs;
    this.#clock = clock;
  }

  /** Call this right before a call is sent, and pass the result to {@link store} with its denial. */
  stamp(key: string, cost: number): RequestStamp {
    const now = this.#clock.now();
    const denial = this.#denials.get(key);
    if (denial !== undefined && cost >= denial.cost && now >= denial.until) {
      if (denial.isReviewed || now >= denial.freeAt) this.#denials.delete(key);
      else {
        denial.isReviewed = true;
        denial.until = Math.min(denial.freeAt, now + this.#maxAgeMs);
      }
    }
    return { at: now, changes: this.#changes };
  }

  /**
   * Stores a denial, unless its key was changed after the call was sent: the server may have refused the call before the change.
   */
  store(
    key: string,
    limits: readonly Limit[],
    cost: number,
    { retryAfterMs, lockedForMs = 0 }: Wait,
    result: StoreResult | undefined,
    sent: RequestStamp,
  ): void {
    if (sent.changes < Math.max(this.#changedAll, this.#changed.get(key) ?? 0)) return;
    // The server counts from a full millisecond, which may have begun before this was sent.
    const freeAt = sent.at + retryAfterMs - 1;
    const until = Math.min(freeAt, sent.at + this.#maxAgeMs);
    const receivedAt = this.#clock.now();
    // Too late to refuse anything; a later reply may have been stored meanwhile.
    if (until <= receivedAt) return;
    // All at once, because a Map that loses its oldest entry again and again slows down.
    if (this.#denials.size >= MOST_KEYS && !this.#denials.has(key)) this.#denials.clear();
    const lockedUntil = lockedForMs > 0 ? sent.at + lockedForMs - 1 : -Infinity;
    this.#denials.set(key, { limits, cost, result, receivedAt, freeAt, lockedUntil, until, isReviewed: false });
  }

  /** Drops the denial if an admitted call of this cost disproves it. */
  admitted(key: string, cost: number): void {
    const denial = this.#denials.get(key);
    if (denial !== undefined && cost >= denial.cost) this.#denials.delete(key);
  }

  /**
   * Whether a call is certain to be refused.
   *
   * @param mayStrike - whether its refusal may be a strike. @default false
   */
  refuses(key: string, limits: readonly Limit[], cost: number, mayStrike: boolean = false): boolean {
    const denial = this.#find(key, cost, mayStrike);
    return denial !== undefined && areBounded(limits, denial.limits);
  }

  /**
   * The result of a call that is certain to be refused, with `used` as of the denial; undefined for any other call.
   *
   * @param mayStrike - whether its refusal may be a strike. @default false
   */
  resultOf(key: string, limits: readonly Limit[], cost: number, mayStrike: boolean = false): StoreResult | undefined {
    const denial = this.#find(key, cost, mayStrike);
    if (denial?.result === undefined) return undefined;
    // In both directions: a lower limit refuses as well, and for longer.
    if (!areBounded(limits, denial.limits) || !areBounded(denial.limits, limits)) return undefined;
    // A cost that can never pass has another result than one that can pass later.
    if (denial.freeAt < Infinity && limits.some(({ maxCalls }) => cost > maxCalls)) return undefined;
    return aged(denial.result, Math.floor(this.#clock.now() - denial.receivedAt));
  }

  /** The number of keys with a denial. */
  get size(): number {
    return this.#denials.size;
  }

  /** Drops the denial of a key, or of all keys. Denials of calls that are under way are not kept either. */
  drop(key: string | undefined): void {
    if (this.#maxAgeMs === 0) return;
    this.#changes += 1;
    if (key === undefined) this.#denials.clear();
    else this.#denials.delete(key);
    // The forgotten changes may have affected any key: denials of calls under way are not stored, and stored denials stay.
    if (key === undefined || this.#changed.size >= MOST_KEYS) {
      this.#changed.clear();
      this.#changedAll = this.#changes;
    }
    if (key !== undefined) this.#changed.set(key, this.#changes);
  }

  #find(key: string, cost: number, mayStrike: boolean): Denial | undefined {
    const denial = this.#denials.get(key);
    if (denial === undefined || cost < denial.cost) return undefined;
    const now = this.#clock.now();
    return now < denial.until && (!mayStrike || now < denial.lockedUntil) ? denial : undefined;
  }
}

/**
 * Runs a change of a key, or of all keys. Drops its denials before and after: the reply to a call that is sent during the
 * change may be older than it.
 *
 * @param caches - by any key; caches that are added during the change are included.
 */
export async function whileChanging<T>(
  caches: ReadonlyMap<unknown, DenyCache>,
  key: string | undefined,
  change: () => Promise<T>,
): Promise<T> {
  for (const cache of caches.values()) cache.drop(key);
  try {
    return await change();
  } finally {
    for (const cache of caches.values()) cache.drop(key);
  }
}

/** Whether no limit is higher than its counterpart in `bounds`. */
function areBounded(limits: readonly Limit[], bounds: readonly Limit[]): boolean {
  if (limits === bounds) return true;
  if (limits.length !== bounds.length) return false;
  return limits.every(({ maxCalls, periodMs }, at) => {
    const bound = bounds[at] as Limit;
    return periodMs === bound.periodMs && maxCalls <= bound.maxCalls;
  });
}

/** A result as of some time later, if no call is recorded meanwhile. */
function aged(result: StoreResult, ms: number): StoreResult {
  const later = (wait: number): number => Math.max(0, wait - ms);
  const lockedForMs = later(result.lock?.lockedForMs ?? 0);
  return {
    ...result,
    // The denial may be the refusal that locked the key.
    lock: result.lock && { ...result.lock, lockedForMs, refuses: lockedForMs > 0 },
    retryAfterMs: later(result.retryAfterMs),
    resetAfterMs: later(result.resetAfterMs),
    layers: result.layers.map((layer) => ({
      ...layer,
      retryAfterMs: later(layer.retryAfterMs),
      moreAfterMs: later(layer.moreAfterMs),
      resetAfterMs: later(layer.resetAfterMs),
    })),
    source: "deny-cache",
  };
}
