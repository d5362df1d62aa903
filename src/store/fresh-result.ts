import type { Source } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { StoreResult } from "./store.js";

/**
 * The result for a key without earlier calls, right after a call of this cost; 0 for no call. It admits every cost and has no
 * receipt: it describes calls that no store records.
 */
export function freshResult(limits: readonly Limit[], cost: number, source: Source): StoreResult {
  return {
    retryAfterMs: 0,
    resetAfterMs: cost > 0 ? limits.reduce((longest, { periodMs }) => Math.max(longest, periodMs), 0) : 0,
    layers: limits.map(({ name, maxCalls, periodMs, reducedFrom }) => ({
      name,
      maxCalls,
      periodMs,
      reducedFrom,
      used: cost,
      remaining: Math.max(0, maxCalls - cost),
      retryAfterMs: 0,
      moreAfterMs: cost > 0 && maxCalls > 0 ? periodMs : Infinity,
      resetAfterMs: cost > 0 ? periodMs : 0,
    })),
    noRoom: false,
    source,
    receipt: undefined,
  };
}
