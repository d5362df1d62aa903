import type { Source } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { StoreResult } from "./store.js";

/**
 * The verdict on a key without earlier calls, right after a call of cost `spend`, or without any call for 0. It admits every
 * cost and has no receipt: it describes calls that no store records.
 */
export function freshResult(limits: readonly Limit[], spend: number, source: Source): StoreResult {
  return {
    retryAfterMs: 0,
    resetAfterMs: spend > 0 ? limits.reduce((longest, { periodMs }) => Math.max(longest, periodMs), 0) : 0,
    layers: limits.map(({ name, maxCalls, periodMs, reducedFrom }) => ({
      name,
      maxCalls,
      periodMs,
      reducedFrom,
      used: spend,
      remaining: Math.max(0, maxCalls - spend),
      retryAfterMs: 0,
      moreAfterMs: spend > 0 && maxCalls > 0 ? periodMs : Infinity,
      resetAfterMs: spend > 0 ? periodMs : 0,
    })),
    noRoom: false,
    source,
    receipt: undefined,
  };
}
