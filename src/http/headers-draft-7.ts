import type { Decision } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, LimiterResult } from "./headers.js";
import { formatReset, layerResetMs, resetMs } from "./headers.js";
import { quotaPolicies } from "./headers-draft-6.js";

/** See {@link rateLimitDraft7}. */
export const DRAFT_7: HeaderFormat = {
  fieldNames: ["RateLimit-Policy", "RateLimit"],
  isNamed: false,
  hasPartitionKey: false,
  resetFormat: undefined,
  fieldsOf: rateLimitDraft7,
};

/**
 * Returns the header fields of draft-ietf-httpapi-ratelimit-headers-07: the values of draft 6, with those of the limit that binds in
 * one field, `RateLimit`.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/07/
 */
function rateLimitDraft7(decision: Decision, results: readonly LimiterResult[]): readonly HeaderEntry[] {
  const { limit, remaining } = decision;
  const reset = formatReset(resetMs(decision, layerResetMs), "seconds");
  return [
    ["RateLimit-Policy", quotaPolicies(results)],
    ["RateLimit", `limit=${limit.maxCalls}, remaining=${remaining}, reset=${reset}`],
  ];
}
