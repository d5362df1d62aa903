import type { Decision } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat } from "./headers.js";

/** See {@link xRateLimit}. */
export const LEGACY: HeaderFormat = { isNamed: false, fieldsOf: (decision) => xRateLimit(decision, Date.now()) };

/**
 * Returns the `X-RateLimit-*` fields, a convention from before the IETF draft. They describe `decision.limit`: `Limit` is its
 * number of calls, `Remaining` the calls left, and `Reset` the time at which all calls are available again, in seconds since 1970
 * as at GitHub. `Reset` is never later than the end of a window that starts now, rounded up to a second.
 *
 * If the store has no room for a new key, `Reset` is the time of the next attempt, as in `Retry-After`. A limit of 0 has no `Reset`.
 *
 * @param now - the current time, in milliseconds since 1970.
 */
function xRateLimit(decision: Decision, now: number): HeaderEntry[] {
  const { limit, remaining } = decision;
  const fields: HeaderEntry[] = [
    ["X-RateLimit-Limit", String(limit.maxCalls)],
    ["X-RateLimit-Remaining", String(remaining)],
  ];
  if (limit.maxCalls > 0) fields.push(["X-RateLimit-Reset", String(Math.ceil((now + resetMs(decision)) / 1000))]);
  return fields;
}

function resetMs({ limit, layers, refusedBy, retryAfterMs, resetAfterMs }: Decision): number {
  if (refusedBy === "capacity" && retryAfterMs < Infinity) return retryAfterMs;
  const binding = layers.find(({ name, periodMs }) => name === limit.name && periodMs === limit.periodMs);
  return binding === undefined ? resetAfterMs : Math.min(binding.resetAfterMs, binding.periodMs);
}
