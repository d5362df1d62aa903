import type { Decision, LayerStatus, Reason, Receipt, RefusedBy } from "../core/decision.js";
import { settle } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { freshVerdict } from "../store/fresh-verdict.js";
import type { Verdict } from "../store/store.js";
import type { LimitsInForce } from "./limits-in-force.js";
import { rulingOf } from "./limits-in-force.js";

/**
 * Makes the decision that a store's verdict comes to. In shadow mode a refusal lets the call through.
 *
 * @param onRefunded - told when what was spent has been taken back.
 */
export function decided(verdict: Verdict, inForce: LimitsInForce, isShadow: boolean, onRefunded: () => void): Decision {
  const { resetAfterMs, noRoom, source, receipt } = verdict;
  const { layers, retryAfterMs, isReduced } = rulingOf(verdict, inForce);
  const isRefused = retryAfterMs > 0;
  const refusedBy = isRefused ? causeOf(noRoom, isReduced) : null;
  const limit = bindingLimit(layers, inForce.limits, isRefused && !noRoom);
  return settle(
    {
      allowed: !isRefused || isShadow,
      reason: refusedBy === null ? "Allowed" : refusal(limit, refusedBy),
      refusedBy,
      limit,
      // Every layer has something left for a newcomer that there is no room for; it can still spend nothing.
      remaining: noRoom ? 0 : leastRemaining(layers),
      retryAfterMs,
      resetAfterMs,
      reduced: isReduced,
      layers,
      bypassed: false,
      shadowed: isRefused && isShadow,
      source,
    },
    receipt && { refund: () => refunded(receipt, onRefunded) },
  );
}

async function refunded(receipt: Receipt, onRefunded: () => void): Promise<boolean> {
  const isRefunded = await receipt.refund();
  if (isRefunded) onRefunded();
  return isRefunded;
}

/** Makes the decision of a bypassed call, which no store sees: always allowed, and otherwise that of a fresh key. */
export function bypassed(limits: readonly Limit[], spend: number): Decision {
  const { layers, retryAfterMs, resetAfterMs, source } = freshVerdict(limits, spend, "bypass");
  return settle({
    allowed: true,
    reason: "Allowed",
    refusedBy: null,
    limit: bindingLimit(layers, limits, false),
    remaining: leastRemaining(layers),
    retryAfterMs,
    resetAfterMs,
    reduced: false,
    layers,
    bypassed: true,
    shadowed: false,
    source,
  });
}

/** Of a refusal the limit with the longest wait, else the one with least remaining; the first listed wins a tie. */
function bindingLimit(layers: readonly LayerStatus[], limits: readonly Limit[], isRefused: boolean): Limit {
  const urgency = (layer: LayerStatus): number => (isRefused ? layer.retryAfterMs : -layer.remaining);
  const binding = layers.reduce((first, layer) => (urgency(layer) > urgency(first) ? layer : first));
  return limits[layers.indexOf(binding)] as Limit;
}

function leastRemaining(layers: readonly LayerStatus[]): number {
  return layers.reduce((least, { remaining }) => Math.min(least, remaining), Infinity);
}

function causeOf(noRoom: boolean, isReduced: boolean): RefusedBy {
  if (noRoom) return "capacity";
  return isReduced ? "load" : "limit";
}

function refusal({ name }: Limit, refusedBy: RefusedBy): Reason {
  if (refusedBy === "capacity") return "Key capacity exceeded";
  if (refusedBy === "load")
    return name === undefined ? "Reduced rate limit exceeded" : `Reduced ${name} rate limit exceeded`;
  return name === undefined ? "Rate limit exceeded" : `${name} rate limit exceeded`;
}
