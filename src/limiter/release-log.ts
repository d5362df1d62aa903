import { andThen } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import type { SyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { MAX_CALLS } from "../core/limit.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Namespace, StoreResult, SyncNamespace } from "../store/store.js";

/** How many keys have their releases logged. With more, the store alone paces some of them. */
const MAX_KEYS = 10_000;

/** What the log contains of a release. */
interface Entry {
  /** The instant at which it was logged. */
  readonly at: number;
  /** The cost that the log still allows. */
  readonly remaining: number;
  readonly receipt: SyncReceipt | undefined;
}

/** A release of the caller of one call. It is in the log from its construction on, even if the limits would refuse it. */
export class Release {
  readonly #log: ReleaseLog;
  readonly #key: string;
  readonly #limits: readonly Limit[];
  readonly #cost: number;
  #entry: Entry;

  constructor(log: ReleaseLog, key: string, limits: readonly Limit[], cost: number) {
    this.#log = log;
    this.#key = key;
    this.#limits = limits;
    this.#cost = cost;
    this.#entry = log.record(key, limits, cost);
  }

  /** Removes it from the log. Returns false if it has expired or been removed before. */
  refund(): boolean {
    return this.#entry.receipt?.refund() ?? false;
  }

  /** Moves it to the present instant. Returns the cost that the log still allows; 0 if it has been removed. */
  moveToNow(): number {
    const passedMs = this.#log.now() - this.#entry.at;
    if (passedMs !== 0) {
      // A release that has expired meanwhile, because the process was busy, cannot be refunded, but must be logged.
      if (!this.refund() && passedMs < this.#log.longestMs) return 0;
      this.#entry = this.#log.record(this.#key, this.#limits, this.#cost);
    }
    return this.#entry.remaining;
  }
}

/**
 * The instants at which the callers of `acquire` have continued, in memory.
 *
 * A store records a call before its caller continues: some microtasks before in memory, half a round trip in Redis, and
 * longer where the process is busy in between. Two callers would continue closer together than their timestamps are, so a
 * call must pass this log as well.
 */
export class ReleaseLog {
  /** The longest period: an older release has expired. */
  readonly longestMs: number;
  readonly #clock: Clock;
  readonly #log: SyncNamespace;

  constructor(clock: Clock, periodsMs: readonly number[]) {
    this.#clock = clock;
    this.longestMs = Math.max(...periodsMs);
    this.#log = new MemoryStore({ clock, maxKeys: MAX_KEYS }).open("releases", periodsMs);
  }

  /**
   * Checks a call in `namespace`, and records it there, unless the releases refuse it. Then the result is the refusal with the
   * longer wait. No refusal is a strike.
   */
  check(namespace: Namespace, key: string, limits: readonly Limit[], cost: number): StoreResult | Promise<StoreResult> {
    const pace = this.#log.peek(key, limits, cost);
    if (pace.retryAfterMs === 0 || pace.retryAfterMs === Infinity || pace.noRoom) {
      return namespace.check(key, limits, cost, false);
    }
    return andThen<StoreResult, StoreResult>(namespace.peek(key, limits, cost), (own) =>
      own.retryAfterMs >= pace.retryAfterMs ? own : { ...pace, lock: own.lock },
    );
  }

  /** Logs a call at the present instant, even if the limits would refuse it: its caller has continued. */
  record(key: string, limits: readonly Limit[], cost: number): Entry {
    const at = this.now();
    const unlimited = limits.map((limit) => ({ ...limit, maxCalls: MAX_CALLS }));
    const { layers, receipt } = this.#log.check(key, unlimited, cost);
    const remaining = Math.min(...layers.map(({ used }, index) => (limits[index] as Limit).maxCalls - used));
    return { at, remaining, receipt };
  }

  /** The present instant, in whole milliseconds. */
  now(): number {
    return Math.ceil(this.#clock.now());
  }

  /** Deletes the releases of one key, or of all keys. */
  reset(key?: string): void {
    this.#log.reset(key);
  }
}
