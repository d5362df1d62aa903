import type { Clock } from "../core/clock.js";
import type { Receipt, SyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { andThen } from "../core/callbacks.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Namespace, SyncNamespace, SyncStoreResult, StoreResult } from "../store/store.js";

/**
 * The namespace of a limiter as `acquire` uses it: it admits a call only if the callers that this limiter released before
 * leave room for it as well.
 *
 * A store records a call before its caller continues: some microtasks before in memory, half a round trip in Redis, and
 * longer where the process is busy in between. Two callers would continue closer together than their timestamps are. This
 * log holds the instants at which callers have continued, and paces the next ones by them.
 */
export class ReleaseLog {
  readonly #namespace: Namespace;
  readonly #releases: SyncNamespace;
  /** The admitted calls whose callers have not continued yet: one of a key at most, since a queue checks one at a time. */
  readonly #pending = new Map<string, Release>();

  constructor(namespace: Namespace, clock: Clock, periodsMs: readonly number[]) {
    this.#namespace = namespace;
    this.#releases = new MemoryStore({ clock }).open("releases", periodsMs);
  }

  /** Checks a call, and records it if both the store and the earlier releases admit it. */
  check(key: string, limits: readonly Limit[], cost: number): StoreResult | Promise<StoreResult> {
    const pace = this.#releases.peek(key, limits, cost);
    if (pace.retryAfterMs > 0 && !pace.noRoom) {
      // The later instant of the two. Most often it is that of the store, which counts the calls of others as well.
      const latest = (verdict: StoreResult): StoreResult =>
        verdict.retryAfterMs >= pace.retryAfterMs ? verdict : pace;
      return andThen(this.#namespace.peek(key, limits, cost), latest);
    }
    return andThen(this.#namespace.check(key, limits, cost), (verdict) => {
      const { receipt } = verdict;
      if (receipt === undefined) return verdict;
      const release = new Release(() => this.#releases.check(key, limits, cost));
      this.#pending.set(key, release);
      return { ...verdict, receipt: { refund: () => refundBoth(receipt, release) } };
    });
  }

  /** Moves the latest release of a key to the present: its caller has continued. */
  confirm(key: string): void {
    this.#pending.get(key)?.moveToPresent();
    this.#pending.delete(key);
  }

  /** Deletes the releases of one key, or of all keys. */
  reset(key?: string): void {
    this.#releases.reset(key);
  }
}

/** One entry of the log. */
class Release {
  readonly #record: () => SyncStoreResult;
  #receipt: SyncReceipt | undefined;

  constructor(record: () => SyncStoreResult) {
    this.#record = record;
    this.#receipt = record().receipt;
  }

  /** Removes the entry. False if it is gone already: refunded, reset or expired. */
  remove(): boolean {
    return this.#receipt?.refund() ?? false;
  }

  moveToPresent(): void {
    if (this.remove()) this.#receipt = this.#record().receipt;
  }
}

async function refundBoth(receipt: Receipt, release: Release): Promise<boolean> {
  const isRefunded = await receipt.refund();
  if (isRefunded) release.remove();
  return isRefunded;
}
