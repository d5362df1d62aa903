import type { Decision } from "../core/decision.js";
import type { HeaderEntry } from "./headers.js";

/**
 * The `X-RateLimit-*` fields, which services sent before the IETF draft, of the limit that binds: its `Limit`, what is
 * `Remaining`, and `Reset`, the second at which all of it is free again. `Reset` counts from 1970, as at GitHub, and is never
 * later than the end of a window that begins now, rounded up to a second.
 *
 * If the store has no room for a new key, `Reset` is the time of the next attempt, as `Retry-After` is. A limit of 0 has no `Reset`.
 *
 * @param now - the time of day in milliseconds from 1970.
 */
export function xRateLimit(decision: Decision, now: number): HeaderEntry[] {
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
