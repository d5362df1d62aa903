import type { Decision, LayerStatus } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, ResetFormat } from "./headers.js";
import { shownLockMs } from "../core/decision.js";
import { formatReset, resetMs } from "./headers.js";

/** See {@link xRateLimit}. */
export const LEGACY: HeaderFormat = {
  fieldNames: ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"],
  isNamed: false,
  hasPartitionKey: false,
  resetFormat: "epoch",
  fieldsOf: (decision, _results, { resetFormat }) => xRateLimit(decision, resetFormat),
};

/**
 * Returns the `X-RateLimit-*` fields, a convention from before the IETF draft. They describe `decision.limit`: `Limit` is its
 * number of calls, `Remaining` the calls left, and `Reset` the time at which all calls are available again: in seconds since 1970
 * as at GitHub, or in seconds from now as in @fastify/rate-limit. `Reset` is never later than the end of a window or a lock that
 * starts now, rounded up to a second.
 *
 * If the store has no room for a new key, `Reset` is the time of the next attempt, as in `Retry-After`. A limit of 0 has no `Reset`.
 */
function xRateLimit(decision: Decision, resetFormat: ResetFormat): HeaderEntry[] {
  const { limit, remaining } = decision;
  const fields: HeaderEntry[] = [
    ["X-RateLimit-Limit", String(limit.maxCalls)],
    ["X-RateLimit-Remaining", String(remaining)],
  ];
  if (limit.maxCalls > 0) {
    fields.push(["X-RateLimit-Reset", formatReset(resetMs(decision, allAvailableMs), resetFormat)]);
  }
  return fields;
}

function allAvailableMs({ resetAfterMs, periodMs }: LayerStatus, decision: Decision): number {
  return Math.max(Math.min(resetAfterMs, periodMs), shownLockMs(decision));
}
