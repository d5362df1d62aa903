import { wholeSeconds } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, HeaderSettings, LimiterResult } from "./headers.js";
import { layerResetMs, quotaOf, shownRemaining } from "./headers.js";
import { partitionKeyOf } from "./partition-key.js";
import { policyFormatter, policyList } from "./policies.js";

/** See {@link rateLimitDraft8}. */
export const DRAFT_8: HeaderFormat = {
  fieldNames: ["RateLimit-Policy", "RateLimit"],
  isNamed: true,
  hasPartitionKey: true,
  resetFormat: undefined,
  fieldsOf: (_decision, results, settings) => rateLimitDraft8(results, settings),
};

const policiesOf = policyFormatter((name, limit) => `${name}; q=${quotaOf(limit)}; w=${wholeSeconds(limit.periodMs)}`);

/**
 * Returns the header fields of draft-ietf-httpapi-ratelimit-headers-08, byte for byte as express-rate-limit sends them: with a
 * space after each semicolon, the seconds to the reset `t` in each member of `RateLimit`, and the partition key `pk` in
 * `RateLimit-Policy` only.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/08/
 */
function rateLimitDraft8(results: readonly LimiterResult[], { partitionKey }: HeaderSettings): readonly HeaderEntry[] {
  const policy: string[] = [];
  const status: string[] = [];
  for (const result of results) {
    const policies = policiesOf(result);
    policy.push(policyList(policies, partitionKey ? `; pk=:${partitionKeyOf(result.key)}:` : ""));
    const { decision } = result;
    for (const [index, layer] of decision.layers.entries()) {
      const seconds = wholeSeconds(layerResetMs(layer, decision));
      status.push(`${policies.names[index] ?? ""}; r=${shownRemaining(layer, decision)}; t=${seconds}`);
    }
  }
  return [
    ["RateLimit-Policy", policy.join(", ")],
    ["RateLimit", status.join(", ")],
  ];
}
