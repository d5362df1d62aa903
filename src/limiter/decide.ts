import { callListener, warn } from "../core/callbacks.js";
import type { AsyncReceipt, Decision, LayerStatus, Reason, Receipt, RefusedBy } from "../core/decision.js";
import { makeDecision } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { StoreResult } from "../store/store.js";
import { freshResult } from "../store/store.js";

/** What a limiter enforces at one instant. It is replaced as a whole, so that a call never reads parts of two. */
export interface LimitsInForce {
  /** The limits, in order. */
  readonly limits: readonly Limit[];
  /** Completes refusals while load reduces the limits; undefined while it does not. */
  readonly whenReduced: WhenReduced | undefined;
}

/** Completes the layers of a refusal by reduced limits, and determines whether the full limits would allow the call. */
export type WhenReduced = (
  layers: readonly LayerStatus[],
  cost: number,
) => { readonly layers: readonly LayerStatus[]; readonly fullAllows: boolean };

/**
 * Makes the decision that follows from the result of a store. In shadow mode a refused call is allowed.
 *
 * @param receipt - of what was recorded.
 */
export function toDecision(
  result: StoreResult,
  { limits, whenReduced }: LimitsInForce,
  cost: number,
  isShadow: boolean,
  receipt?: Receipt,
): Decision {
  const { retryAfterMs, resetAfterMs, lock, noRoom, source } = result;
  const lockedForMs = lock?.lockedForMs ?? 0;
  const isRefused = retryAfterMs > 0;
  const isLimited = isRefused && !noRoom;
  const reduced = isLimited ? whenReduced?.(result.layers, cost) : undefined;
  const layers = reduced?.layers ?? result.layers;
  const least = leastRemaining(layers);
  const longest = isLimited ? longestWait(layers) : least;
  const waitMs = (layers[longest] as LayerStatus).retryAfterMs;
  // The limits may allow a call of a key that is locked.
  const limit = limits[waitMs > 0 ? longest : least] as Limit;
  const refusedBy = isRefused ? causeOf(result, reduced?.fullAllows) : null;
  return makeDecision(
    {
      allowed: !isRefused || isShadow,
      reason: refusedBy === null ? "Allowed" : refusalReason(limit, refusedBy),
      refusedBy,
      limit,
      // The layers may allow calls of a key that is locked, or that there is no room for. None is admitted.
      remaining: noRoom || lockedForMs > 0 ? 0 : (layers[least] as LayerStatus).remaining,
      retryAfterMs: isLimited ? Math.max(waitMs, lockedForMs) : retryAfterMs,
      resetAfterMs,
      lockedForMs,
      strikes: lock?.strikes ?? 0,
      reduced: refusedBy === "load",
      layers,
      bypassed: source === "bypass",
      shadowed: isRefused && isShadow,
      source,
    },
    receipt,
  );
}

/** Makes the decision of a bypassed call, for which no store is queried: allowed, with the fields of a key without calls. */
export function bypassedDecision(limits: readonly Limit[], cost: number): Decision {
  return toDecision(freshResult(limits, cost, "bypass"), { limits, whenReduced: undefined }, cost, false);
}

/** The receipt of a decision: that of the store, and the function that its refund calls. */
export class LimiterReceipt implements AsyncReceipt {
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

function causeOf({ lock, noRoom }: StoreResult, fullAllows: boolean | undefined): RefusedBy {
  if (lock?.refuses === true) return "lock";
  if (noRoom) return "capacity";
  return fullAllows === true ? "load" : "limit";
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

function refusalReason({ name }: Limit, refusedBy: RefusedBy): Reason {
  if (refusedBy === "lock") return "Locked";
  if (refusedBy === "capacity") return "Key capacity exceeded";
  if (refusedBy === "load") return "Reduced rate limit exceeded";
  return name === undefined ? "Rate limit exceeded" : `${name} rate limit exceeded`;
}

/**
 * Calls `onDecision`. The decision stands even if that throws, or its promise rejects: a failure is a process warning, because a
 * broken metric must neither refuse nor admit a call.
 */
export function notify<D extends Decision, S>(
  onDecision: (decision: D, subject: S) => unknown,
  decision: D,
  subject: S,
): void {
  callListener(
    () => onDecision(decision, subject),
    (error) => {
      warn("SLUICEGATE_CALLBACK_FAILED", "onDecision failed; the decision stands", error);
    },
  );
}
