import { andThen } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import type { SyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { MAX_CALLS } from "../core/limit.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { AsyncNamespace, Namespace, StoreResult, SyncNamespace } from "../store/store.js";

/** How many keys of an asynchronous store have their releases logged. */
const MAX_KEYS = 10_000;

/** The result of a call, and what is to be done when its caller has continued. */
export interface PacedResult {
  readonly verdict: StoreResult;
  readonly confirm: () => void;
}

/**
 * Checks the calls of `acquire`.
 *
 * A store records a call before its caller continues: some microtasks before in memory, half a round trip in Redis, and
 * longer where the process is busy in between. Two callers would continue closer together than their timestamps are, so the
 * next ones are paced by the instants at which callers have continued.
 */
export interface Pace {
  /**
   * Checks a call, and records it if the log and the earlier releases admit it.
   *
   * @param pending - the cost of the calls of `key` that are being decided, or whose callers have not continued.
   * @returns undefined while the pending calls take all the room.
   */
  check(
    key: string,
    limits: readonly Limit[],
    cost: number,
    pending: number,
  ): PacedResult | Promise<PacedResult> | undefined;
  /** Deletes the releases of one key, or of all keys. */
  reset(key?: string): void;
}

/** Does not pace: in shadow mode no caller waits. */
export function unpaced(namespace: Namespace): Pace {
  return {
    check: (key, limits, cost) => andThen(namespace.check(key, limits, cost), unconfirmed),
    reset: () => undefined,
  };
}

/** Paces by the log of a synchronous store: the timestamp of a call moves to the instant at which its caller has continued. */
export function paceInLog(namespace: SyncNamespace): Pace {
  return {
    check(key, limits, cost) {
      const verdict = namespace.check(key, limits, cost);
      let { receipt } = verdict;
      if (receipt === undefined) return unconfirmed(verdict);
      return {
        verdict: { ...verdict, receipt: { refund: () => receipt?.refund() ?? false } },
        confirm: () => {
          if (receipt?.refund() === true) receipt = record(namespace, key, limits, cost);
        },
      };
    },
    reset: () => undefined,
  };
}

/** Paces by a log of its own, in memory, of the latest keys: moving a timestamp of the store would take a round trip. */
export function paceInMemory(namespace: AsyncNamespace, clock: Clock, periodsMs: readonly number[]): Pace {
  const releases = new MemoryStore({ clock, maxKeys: MAX_KEYS }).open("releases", periodsMs);
  return {
    check(key, limits, cost, pending) {
      const pace = releases.peek(key, limits, cost + pending);
      if (pace.retryAfterMs > 0 && !pace.noRoom && cost <= Math.min(...limits.map(({ maxCalls }) => maxCalls))) {
        if (pending > 0) return undefined;
        // The later instant of the two. Most often it is that of the store, which counts the calls of others as well.
        return namespace
          .peek(key, limits, cost)
          .then((verdict) => unconfirmed(verdict.retryAfterMs >= pace.retryAfterMs ? verdict : pace));
      }
      return namespace.check(key, limits, cost).then((verdict) => {
        const { receipt } = verdict;
        if (receipt === undefined) return unconfirmed(verdict);
        let release: SyncReceipt | undefined;
        let isRefunded = false;
        const refund = async (): Promise<boolean> => {
          if (!(await receipt.refund())) return false;
          isRefunded = true;
          release?.refund();
          return true;
        };
        return {
          verdict: { ...verdict, receipt: { refund } },
          confirm: () => {
            if (!isRefunded) release = record(releases, key, limits, cost);
          },
        };
      });
    },
    reset: (key) => releases.reset(key),
  };
}

function unconfirmed(verdict: StoreResult): PacedResult {
  return { verdict, confirm: () => undefined };
}

/** Records a call that was admitted, though other calls or a lower limit may have taken the room meanwhile. */
function record(
  namespace: SyncNamespace,
  key: string,
  limits: readonly Limit[],
  cost: number,
): SyncReceipt | undefined {
  const open = limits.map((limit) => ({ ...limit, maxCalls: MAX_CALLS }));
  const { receipt } = namespace.check(key, open, cost);
  // A store judges by the limits of the latest call which keys are at their limit. It must not evict those.
  namespace.peek(key, limits, cost);
  return receipt;
}
