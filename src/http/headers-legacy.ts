import type { Decision } from "../core/decision.js";
import type { HeaderEntry } from "./headers.js";

/**
 * The fields that services sent before there was a draft: of the limit that binds, its `Limit`, what is `Remaining`, and the
 * second at which all of it is free again, as `Reset`, counted from 1970 as GitHub does. It is never later than the end of a
 * window that begins now, rounded up to a second.
 *
 * @param now - the time of day in milliseconds from 1970.
 */
export function xRateLimit({ limit, remaining, resetAfterMs, layers }: Decision, now: number): HeaderEntry[] {
  const binding = layers.find(({ name, periodMs }) => name === limit.name && periodMs === limit.periodMs);
  const resetMs = binding === undefined ? resetAfterMs : Math.min(binding.resetAfterMs, binding.periodMs);
  const reset = Math.ceil((now + resetMs) / 1000);
  return [
    ["X-RateLimit-Limit", String(limit.maxCalls)],
    ["X-RateLimit-Remaining", String(remaining)],
    ["X-RateLimit-Reset", String(reset)],
  ];
}
