import { callListener, warn } from "../core/callbacks.js";
import type { AsyncReceipt, Decision, LayerStatus, Reason, Receipt, RefusedBy } from "../core/decision.js";
import { makeDecision } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { freshResult } from "../store/fresh-result.js";
import type { StoreResult } from "../store/store.js";

/** What a limiter enforces at one instant. It is replaced as a whole, so that a call sees one of them. */
export interface LimitsInForce {
  /** The limits, in order. */
  readonly limits: readonly Limit[];
  /** Milliseconds until reduced limits are reviewed, at most; `Infinity` if that is unknown. */
  readonly reviewAfterMs: number;
}

/**
 * Makes the decision that follows from the result of a store. In shadow mode a refused call is let through.
 *
 * @param onRefunded - called with the key when what was recorded has been removed.
 */
export function toDecision(
  result: StoreResult,
  { limits, reviewAfterMs }: LimitsInForce,
  key: string,
  cost: number,
  isShadow: boolean,
  onRefunded: (key: string) => void,
): Decision {
  const { resetAfterMs, noRoom, source, receipt } = result;
  const isRefused = result.retryAfterMs > 0;
  const layers = isRefused ? reviewed(result.layers, cost, reviewAfterMs) : result.layers;
  const refusedBy = isRefused ? causeOf(noRoom, layers, cost) : null;
  const least = leastRemaining(layers);
  const binding = isRefused && !noRoom ? longestWait(layers) : least;
  const limit = limits[binding] as Limit;
  return makeDecision(
    {
      allowed: !isRefused || isShadow,
      reason: refusedBy === null ? "Allowed" : refusal(limit, refusedBy),
      refusedBy,
      limit,
      // Every layer has something left for a new key that there is no room for; it can still spend nothing.
      remaining: noRoom ? 0 : (layers[least] as LayerStatus).remaining,
      retryAfterMs: isRefused && !noRoom ? (layers[binding] as LayerStatus).retryAfterMs : result.retryAfterMs,
      resetAfterMs,
      reduced: refusedBy === "load",
      layers,
      bypassed: false,
      shadowed: isRefused && isShadow,
      source,
    },
    receipt && new LimiterReceipt(receipt, key, onRefunded),
  );
}

/** The receipt of a decision: that of the store, and what its refund wakes. */
class LimiterReceipt implements AsyncReceipt {
  readonly #receipt: Receipt;
  readonly #key: string;
  readonly #onRefunded: (key: string) => void;

  constructor(receipt: Receipt, key: string, onRefunded: (key: string) => void) {
    this.#receipt = receipt;
    this.#key = key;
    this.#onRefunded = onRefunded;
  }

  async refund(): Promise<boolean> {
    const isRefunded = await this.#receipt.refund();
    if (isRefunded) this.#onRefunded(this.#key);
    return isRefunded;
  }
}

/** Whether the limit of a layer would allow the call if it were not reduced. */
function allowsInFull({ reducedFrom, used, retryAfterMs }: LayerStatus, cost: number): boolean {
  return reducedFrom === undefined ? retryAfterMs === 0 : used + cost <= reducedFrom;
}

/** A cost between the reduced limit and the full one can be admitted when the limit has been raised: later, and not never. */
function reviewed(layers: readonly LayerStatus[], cost: number, reviewAfterMs: number): readonly LayerStatus[] {
  if (layers.every(({ reducedFrom }) => reducedFrom === undefined)) return layers;
  return layers.map((layer) => {
    const { retryAfterMs, resetAfterMs, reducedFrom = 0 } = layer;
    if (retryAfterMs < Infinity || cost > reducedFrom) return layer;
    return { ...layer, retryAfterMs: Math.max(reviewAfterMs, allowsInFull(layer, cost) ? 0 : resetAfterMs) };
  });
}

/** Makes the decision of a bypassed call, which no store sees: always allowed, and otherwise that of a fresh key. */
export function unlimitedDecision(limits: readonly Limit[], spend: number): Decision {
  const { layers, retryAfterMs, resetAfterMs, source } = freshResult(limits, spend, "bypass");
  const least = leastRemaining(layers);
  return makeDecision({
    allowed: true,
    reason: "Allowed",
    refusedBy: null,
    limit: limits[least] as Limit,
    remaining: (layers[least] as LayerStatus).remaining,
    retryAfterMs,
    resetAfterMs,
    reduced: false,
    layers,
    bypassed: true,
    shadowed: false,
    source,
  });
}

/** The index of the layer with the longest wait; the first listed wins a tie. */
function longestWait(layers: readonly LayerStatus[]): number {
  let longest = 0;
  for (let at = 1; at < layers.length; at += 1) {
    if ((layers[at] as LayerStatus).retryAfterMs > (layers[longest] as LayerStatus).retryAfterMs) longest = at;
  }
  return longest;
}

/** The index of the layer with the least remaining; the first listed wins a tie. */
function leastRemaining(layers: readonly LayerStatus[]): number {
  let least = 0;
  for (let at = 1; at < layers.length; at += 1) {
    if ((layers[at] as LayerStatus).remaining < (layers[least] as LayerStatus).remaining) least = at;
  }
  return least;
}

function causeOf(noRoom: boolean, layers: readonly LayerStatus[], cost: number): RefusedBy {
  if (noRoom) return "capacity";
  return layers.every((layer) => allowsInFull(layer, cost)) ? "load" : "limit";
}

function refusal({ name }: Limit, refusedBy: RefusedBy): Reason {
  if (refusedBy === "capacity") return "Key capacity exceeded";
  if (refusedBy === "load")
    return name === undefined ? "Reduced rate limit exceeded" : `Reduced ${name} rate limit exceeded`;
  return name === undefined ? "Rate limit exceeded" : `${name} rate limit exceeded`;
}

/**
 * Calls `onDecision`. The decision stands even if that throws, or its promise rejects: a failure is a process warning, because a
 * broken metric must neither refuse nor admit a call.
 */
export function notify<K extends string>(
  onDecision: (decision: Decision, key: K) => unknown,
  decision: Decision,
  key: K,
): void {
  callListener(
    () => onDecision(decision, key),
    (error) => {
      warn("onDecision failed; the decision stands", error);
    },
  );
}
