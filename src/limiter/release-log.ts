import { andThen } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import type { Limit } from "../core/limit.js";
import { MAX_CALLS } from "../core/limit.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Namespace, StoreResult, SyncNamespace } from "../store/store.js";

/** How many keys have their releases logged. With more, the store alone paces some of them. */
const MAX_KEYS = 10_000;

/** A logged release. */
export interface Release {
  /** The cost that the log still allows. */
  readonly remaining: number;
  readonly refund: () => boolean;
  /** Logs it at the present instant instead, and returns that release; undefined if it has been removed. */
  readonly moveToNow: () => Release | undefined;
}

/**
 * The instants at which the callers of `acquire` have continued, in memory.
 *
 * A store records a call before its caller continues: some microtasks before in memory, half a round trip in Redis, and
 * longer where the process is busy in between. Two callers would continue closer together than their timestamps are, so a
 * call must pass this log as well.
 */
export class ReleaseLog {
  readonly #clock: Clock;
  readonly #longestMs: number;
  readonly #log: SyncNamespace;

  constructor(clock: Clock, periodsMs: readonly number[]) {
    this.#clock = clock;
    this.#longestMs = Math.max(...periodsMs);
    this.#log = new MemoryStore({ clock, maxKeys: MAX_KEYS }).open("releases", periodsMs);
  }

  /** Checks a call in `namespace`, and records it there, unless the releases refuse it. Then the result is the refusal with the
   * longer wait. */
  check(namespace: Namespace, key: string, limits: readonly Limit[], cost: number): StoreResult | Promise<StoreResult> {
    const pace = this.#log.peek(key, limits, cost);
    if (pace.retryAfterMs === 0 || pace.retryAfterMs === Infinity || pace.noRoom) {
      return namespace.check(key, limits, cost);
    }
    return andThen<StoreResult, StoreResult>(namespace.peek(key, limits, cost), (own) =>
      own.retryAfterMs >= pace.retryAfterMs ? own : pace,
    );
  }

  /** Logs a release, even if the limits would refuse it: its caller has continued. */
  record(key: string, limits: readonly Limit[], cost: number): Release {
    const at = Math.ceil(this.#clock.now());
    const unlimited = limits.map((limit) => ({ ...limit, maxCalls: MAX_CALLS }));
    const { layers, receipt } = this.#log.check(key, unlimited, cost);
    const release: Release = {
      remaining: Math.min(...layers.map(({ used }, index) => (limits[index] as Limit).maxCalls - used)),
      refund: () => receipt?.refund() ?? false,
      moveToNow: () => {
        const passedMs = Math.ceil(this.#clock.now()) - at;
        if (passedMs === 0) return release;
        // A release that has expired meanwhile, because the process was busy, cannot be refunded, but must be logged.
        return release.refund() || passedMs >= this.#longestMs ? this.record(key, limits, cost) : undefined;
      },
    };
    return release;
  }

  /** Deletes the releases of one key, or of all keys. */
  reset(key?: string): void {
    this.#log.reset(key);
  }
}
