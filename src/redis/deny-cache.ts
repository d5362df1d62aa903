import type { Limit } from "../core/limit.js";
import type { StoreResult } from "../store/store.js";

/** The most keys that a map holds. It is emptied then: what it forgets costs a command each. */
const MOST_KEYS = 10_000;

/** When a call was sent, and how many changes came before it. */
export interface RequestStamp {
  readonly at: number;
  readonly changes: number;
}

/** What Redis said when it refused a call. */
interface Denial {
  readonly limits: readonly Limit[];
  readonly cost: number;
  /** Undefined where only the wait is known. */
  readonly verdict: StoreResult | undefined;
  readonly receivedAt: number;
  /** The first instant at which the call could pass; `Infinity` for never. */
  readonly freeAt: number;
  /** Until when calls are refused by it. */
  until: number;
  /** Whether a call was sent after `until`, to see whether the denial still holds. */
  isReviewed: boolean;
}

/**
 * Refuses here what Redis has refused already, so that a key under attack costs a command a second and not one for each call.
 *
 * A denial holds until the first instant at which the call could pass, and no longer than `maxAgeMs`: for calls of at least
 * its cost, by limits none of which is higher. It is counted from when the call was sent, so it never holds too long. After
 * `maxAgeMs` one call is sent to review it. Its reply replaces or drops the denial, and other calls are refused until then,
 * for `maxAgeMs` more at most. A reset or a refund by a limiter of this process drops the denials of its key at once, in every
 * cache of the namespace (see {@link whileChanging}); one elsewhere is seen by the review.
 */
export class DenyCache {
  readonly #maxAgeMs: number;
  readonly #now: () => number;
  readonly #denials = new Map<string, Denial>();
  /** Which change of a key was the latest, counted over all keys: a denial that was sent before it is not noted. */
  readonly #changed = new Map<string, number>();
  #changes = 0;
  /** The latest change that may have been of any key. */
  #changedAll = 0;

  /**
   * @param maxAgeMs - 0 to keep nothing.
   * @param now - milliseconds of a clock that never goes back.
   */
  constructor(maxAgeMs: number, now: () => number) {
    this.#maxAgeMs = maxAgeMs;
    this.#now = now;
  }

  /** Call this right before a call is sent, and hand the result to {@link note} with its denial. */
  sending(key: string, cost: number): RequestStamp {
    const now = this.#now();
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
   * Notes a denial, unless its key was changed since the call was sent: Redis may have refused it before the change.
   *
   * @param retryAfterMs - or less. `Infinity` for never.
   */
  note(
    key: string,
    limits: readonly Limit[],
    cost: number,
    retryAfterMs: number,
    verdict: StoreResult | undefined,
    sending: RequestStamp,
  ): void {
    if (sending.changes < Math.max(this.#changedAll, this.#changed.get(key) ?? 0)) return;
    // The server counts from a full millisecond, which may have begun before this was sent.
    const freeAt = sending.at + retryAfterMs - 1;
    const until = Math.min(freeAt, sending.at + this.#maxAgeMs);
    const receivedAt = this.#now();
    // Too late to refuse anything; a later reply may have been noted meanwhile.
    if (until <= receivedAt) return;
    // All at once, because a Map that loses its oldest entry again and again slows down.
    if (this.#denials.size >= MOST_KEYS && !this.#denials.has(key)) this.#denials.clear();
    this.#denials.set(key, { limits, cost, verdict, receivedAt, freeAt, until, isReviewed: false });
  }

  /** Drops the denial that an admitted call of this cost proves wrong. */
  admitted(key: string, cost: number): void {
    const denial = this.#denials.get(key);
    if (denial !== undefined && cost >= denial.cost) this.#denials.delete(key);
  }

  /** Whether a call is sure to be refused. */
  refuses(key: string, limits: readonly Limit[], cost: number): boolean {
    const denial = this.#find(key, cost);
    return denial !== undefined && areBounded(limits, denial.limits);
  }

  /** What Redis would say to a call that is sure to be refused; what remains is as of the denial. Undefined for any other. */
  verdictOn(key: string, limits: readonly Limit[], cost: number): StoreResult | undefined {
    const denial = this.#find(key, cost);
    if (denial?.verdict === undefined) return undefined;
    // Both ways: a lower limit refuses as well, and for longer.
    if (!areBounded(limits, denial.limits) || !areBounded(denial.limits, limits)) return undefined;
    // A cost that can never pass is another answer than one that can later.
    if (denial.freeAt < Infinity && limits.some(({ maxCalls }) => cost > maxCalls)) return undefined;
    return aged(denial.verdict, Math.floor(this.#now() - denial.receivedAt));
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
    // What is forgotten here concerns any key: at most the calls under way are not noted, and the denials of other keys stay.
    if (key === undefined || this.#changed.size >= MOST_KEYS) {
      this.#changed.clear();
      this.#changedAll = this.#changes;
    }
    if (key !== undefined) this.#changed.set(key, this.#changes);
  }

  #find(key: string, cost: number): Denial | undefined {
    const denial = this.#denials.get(key);
    return denial !== undefined && cost >= denial.cost && this.#now() < denial.until ? denial : undefined;
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

/** Whether none of the limits is higher than those. */
function areBounded(limits: readonly Limit[], those: readonly Limit[]): boolean {
  if (limits === those) return true;
  if (limits.length !== those.length) return false;
  return limits.every(({ maxCalls, periodMs }, at) => {
    const that = those[at] as Limit;
    return periodMs === that.periodMs && maxCalls <= that.maxCalls;
  });
}

/** A verdict as it is some time later, if nobody spends. */
function aged(verdict: StoreResult, ms: number): StoreResult {
  const later = (wait: number): number => Math.max(0, wait - ms);
  return {
    ...verdict,
    retryAfterMs: later(verdict.retryAfterMs),
    resetAfterMs: later(verdict.resetAfterMs),
    layers: verdict.layers.map((layer) => ({
      ...layer,
      retryAfterMs: later(layer.retryAfterMs),
      moreAfterMs: later(layer.moreAfterMs),
      resetAfterMs: later(layer.resetAfterMs),
    })),
    source: "deny-cache",
  };
}
