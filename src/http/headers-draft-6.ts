import type { Decision } from "../core/decision.js";
import { wholeSeconds } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, HeaderSettings, LimiterResult } from "./headers.js";
import { formatReset, layerResetMs, quotaOf, resetMs } from "./headers.js";

/** See {@link rateLimitDraft6}. */
export const DRAFT_6: HeaderFormat = {
  fieldNames: ["RateLimit-Policy", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
  isNamed: false,
  hasPartitionKey: false,
  resetFormat: "seconds",
  fieldsOf: rateLimitDraft6,
};

/**
 * Returns the header fields of draft-ietf-httpapi-ratelimit-headers-06. `RateLimit-Policy` contains all limits, and the other fields
 * describe `decision.limit`. `Reset` is the time of `Retry-After` in a refusal, and otherwise the time at which more remains.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/06/
 */
function rateLimitDraft6(
  decision: Decision,
  results: readonly LimiterResult[],
  { resetFormat }: HeaderSettings,
): readonly HeaderEntry[] {
  const { limit, remaining } = decision;
  return [
    ["RateLimit-Policy", quotaPolicies(results)],
    ["RateLimit-Limit", String(limit.maxCalls)],
    ["RateLimit-Remaining", String(remaining)],
    ["RateLimit-Reset", formatReset(resetMs(decision, layerResetMs), resetFormat)],
  ];
}

/**
 * Returns the policies of drafts 6 and 7, without names: `5;w=60, 100;w=3600`. The drafts forbid two policies of the same quota, so
 * only the one with the longest window is listed.
 */
export function quotaPolicies(results: readonly LimiterResult[]): string {
  const windows = new Map<number, number>();
  for (const { decision } of results) {
    for (const limit of decision.layers) {
      const quota = quotaOf(limit);
      windows.set(quota, Math.max(windows.get(quota) ?? 0, wholeSeconds(limit.periodMs)));
    }
  }
  let list = "";
  for (const [quota, seconds] of windows) list += `${list === "" ? "" : ", "}${quota};w=${seconds}`;
  return list;
}
