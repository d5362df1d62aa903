import type { Limit } from "../core/limit.js";
import type { Verdict } from "../store/store.js";

/** A map is emptied at this size: what it forgets is asked again. */
const MOST_KEYS = 10_000;

/** When a call was sent, and what had been changed by then. */
export interface Sending {
  readonly at: number;
  readonly epoch: number;
}

/** What Redis said when it refused a call. */
interface Denial {
  readonly limits: readonly Limit[];
  readonly cost: number;
  /** Undefined where only the wait is known. */
  readonly verdict: Verdict | undefined;
  readonly isForEver: boolean;
  readonly receivedAt: number;
  readonly until: number;
}

/**
 * Refuses here what Redis has refused already, so that a key under attack costs a command a second and not one for each call.
 *
 * A denial holds until the first instant at which the call could pass, and no longer than `maxAgeMs`: for calls of at least
 * its cost, by limits none of which is higher. It is counted from when the call was sent, so it never holds too long. What
 * changes in this process drops it at once; a reset, a refund or a raised limit elsewhere is seen within `maxAgeMs`.
 */
export class DenyCache {
  readonly #maxAgeMs: number;
  readonly #now: () => number;
  readonly #denials = new Map<string, Denial>();
  #epoch = 0;

  /**
   * @param maxAgeMs - 0 to keep nothing.
   * @param now - milliseconds of a clock that never goes back.
   */
  constructor(maxAgeMs: number, now: () => number) {
    this.#maxAgeMs = maxAgeMs;
    this.#now = now;
  }

  /** To be asked before a call is sent, and handed back with its denial. */
  sending(): Sending {
    return { at: this.#now(), epoch: this.#epoch };
  }

  /**
   * Notes a denial, unless something was changed since it was sent: it may not know of that.
   *
   * @param retryAfterMs - or less. `Infinity` for never.
   */
  note(
    key: string,
    limits: readonly Limit[],
    cost: number,
    retryAfterMs: number,
    verdict: Verdict | undefined,
    sending: Sending,
  ): void {
    if (sending.epoch !== this.#epoch) return;
    // The server counts from a full millisecond, which may have begun before this was sent.
    const until = sending.at + Math.min(retryAfterMs - 1, this.#maxAgeMs);
    const receivedAt = this.#now();
    if (until <= receivedAt) return;
    // All at once, because a Map that loses its oldest entry again and again slows down.
    if (this.#denials.size >= MOST_KEYS && !this.#denials.has(key)) this.#denials.clear();
    this.#denials.set(key, { limits, cost, verdict, isForEver: retryAfterMs === Infinity, receivedAt, until });
  }

  /** Whether a call is sure to be refused. */
  refuses(key: string, limits: readonly Limit[], cost: number): boolean {
    const denial = this.#find(key, cost);
    return denial !== undefined && areBounded(limits, denial.limits);
  }

  /** What Redis would say to a call that is sure to be refused; what remains is as of the denial. Undefined for any other. */
  verdictOn(key: string, limits: readonly Limit[], cost: number): Verdict | undefined {
    const denial = this.#find(key, cost);
    if (denial?.verdict === undefined) return undefined;
    // Both ways: a lower limit refuses as well, and for longer.
    if (!areBounded(limits, denial.limits) || !areBounded(denial.limits, limits)) return undefined;
    // A cost that can never pass is another answer than one that can later.
    if (!denial.isForEver && limits.some(({ maxCalls }) => cost > maxCalls)) return undefined;
    return aged(denial.verdict, Math.floor(this.#now() - denial.receivedAt));
  }

  /** Drops what is known of a key, or of all, now and once the change has been made: what is under way meanwhile is not noted. */
  async whileChanging<T>(key: string | undefined, change: () => Promise<T>): Promise<T> {
    this.#drop(key);
    try {
      return await change();
    } finally {
      this.#drop(key);
    }
  }

  #drop(key: string | undefined): void {
    this.#epoch += 1;
    if (key === undefined) this.#denials.clear();
    else this.#denials.delete(key);
  }

  #find(key: string, cost: number): Denial | undefined {
    const denial = this.#denials.get(key);
    if (denial === undefined || cost < denial.cost) return undefined;
    if (this.#now() < denial.until) return denial;
    this.#denials.delete(key);
    return undefined;
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
function aged(verdict: Verdict, ms: number): Verdict {
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
