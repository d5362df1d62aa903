import type { LayerStatus } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { Verdict } from "../store/store.js";

/** What a limiter enforces at one instant. Replaced as a whole when its limits move, so that a call sees one of them. */
export interface LimitsInForce {
  /** The limits, in order. */
  readonly limits: readonly Limit[];
  /**
   * What a store is asked to tell of a call: the limits, and behind them, for each that is reduced, itself in full.
   *
   * A full limit refuses nothing that its reduced self lets pass; it is asked to tell whose refusal it is. As a layer, so
   * that no store has to know what load is.
   */
  readonly asked: readonly Limit[];
  /** Milliseconds until the limits are looked at again, at most; `Infinity` where nobody knows when. */
  readonly reviewAfterMs: number;
}

/** Sets limits in force, until they are replaced. */
export function inForce(limits: readonly Limit[], reviewAfterMs: number = Infinity): LimitsInForce {
  const own = Object.freeze([...limits]);
  return { limits: own, asked: [...own, ...own.flatMap(inFull)], reviewAfterMs };
}

/** What the verdict on the asked limits says of those in force. */
export interface Ruling {
  readonly layers: readonly LayerStatus[];
  readonly retryAfterMs: number;
  /** A limit refused, and each of them in full would have let the call pass. */
  readonly isReduced: boolean;
}

/** Reads the verdict on `asked` as one on `limits`. */
export function rulingOf(verdict: Verdict, { limits, asked, reviewAfterMs }: LimitsInForce): Ruling {
  const { layers, retryAfterMs, noRoom } = verdict;
  if (asked.length === limits.length) return { layers, retryAfterMs, isReduced: false };
  let fullAt = limits.length;
  let isReduced = retryAfterMs > 0 && !noRoom;
  const own = limits.map(({ reducedFrom }, at) => {
    const layer = layers[at] as LayerStatus;
    const full = reducedFrom === undefined ? layer : (layers[fullAt++] as LayerStatus);
    if (full.retryAfterMs > 0) isReduced = false;
    // A cost between the two is one for later, when the limit has been looked at again, and not one for never.
    const isLater = layer.retryAfterMs === Infinity && full.retryAfterMs < Infinity;
    const wait = isLater ? Math.max(full.retryAfterMs, reviewAfterMs) : layer.retryAfterMs;
    return { ...layer, retryAfterMs: wait, reducedFrom };
  });
  const longest = own.reduce((most, layer) => Math.max(most, layer.retryAfterMs), 0);
  return { layers: own, retryAfterMs: noRoom ? retryAfterMs : longest, isReduced };
}

function inFull(limit: Limit): Limit[] {
  return limit.reducedFrom === undefined ? [] : [{ ...limit, maxCalls: limit.reducedFrom, reducedFrom: undefined }];
}
