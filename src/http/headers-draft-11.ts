import { wholeSeconds } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, HeaderSettings, LimiterResult } from "./headers.js";
import { quotaOf, shownMoreAfterMs, shownRemaining } from "./headers.js";
import { partitionKeyOf } from "./partition-key.js";
import { policyFormatter, policyList } from "./policies.js";

/** See {@link rateLimitDraft11}. */
export const DRAFT_11: HeaderFormat = {
  fieldNames: ["RateLimit-Policy", "RateLimit"],
  isNamed: true,
  hasPartitionKey: true,
  resetFormat: undefined,
  fieldsOf: (_decision, results, settings) => rateLimitDraft11(results, settings),
};

const policiesOf = policyFormatter((name, limit) => `${name};q=${quotaOf(limit)};w=${wholeSeconds(limit.periodMs)}`);

/**
 * Returns the header fields of draft-ietf-httpapi-ratelimit-headers-11.
 *
 * `RateLimit-Policy` contains the quota `q` and the window `w` of each limit, in seconds. If load has reduced a limit, `q` is its
 * quota without load, because a policy must not change. A request with its own `maxCalls` has that as its quota. `RateLimit`
 * contains the remaining quota `r` and the effective window `t`: the seconds until more than `r` can be used. `t` is absent if
 * nothing is used, or if the limit never allows a call. While the key is locked, nothing remains until the lock ends. Both fields
 * can contain the partition key `pk`.
 *
 * Windows are rounded up to whole seconds. A client that complies with `10 in 1 s` also complies with `10 in 500 ms`.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/
 */
function rateLimitDraft11(results: readonly LimiterResult[], { partitionKey }: HeaderSettings): readonly HeaderEntry[] {
  let policy = "";
  let status = "";
  for (const result of results) {
    const policies = policiesOf(result);
    const pk = partitionKey ? `;pk=:${partitionKeyOf(result.key)}:` : "";
    policy = appended(policy, policyList(policies, pk));
    const { decision } = result;
    let index = 0;
    for (const layer of decision.layers) {
      const moreAfterMs = shownMoreAfterMs(layer, decision);
      const t = moreAfterMs < Infinity ? `;t=${wholeSeconds(moreAfterMs)}` : "";
      status = appended(status, `${policies.names[index] ?? ""};r=${shownRemaining(layer, decision)}${t}${pk}`);
      index += 1;
    }
  }
  return [
    ["RateLimit-Policy", policy],
    ["RateLimit", status],
  ];
}

function appended(list: string, member: string): string {
  return list === "" ? member : `${list}, ${member}`;
}
