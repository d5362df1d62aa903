import type { Limit } from "../core/limit.js";
import { wholeSeconds } from "../core/decision.js";
import type { HeaderEntry, HeaderFormat, LimiterResult } from "./headers.js";
import { checkPolicyNames, policyName, quotaOf } from "./headers.js";

/** See {@link rateLimitDraft11}. */
export const DRAFT_11: HeaderFormat = { isNamed: true, fieldsOf: (_decision, results) => rateLimitDraft11(results) };

/**
 * Returns the header fields of draft-ietf-httpapi-ratelimit-headers-11.
 *
 * `RateLimit-Policy` contains the quota `q` and the window `w` of each limit, in seconds. If load has reduced a limit, `q` is its
 * quota without load, because a policy must not change. A request with its own `maxCalls` has that as its quota. `RateLimit`
 * contains the remaining quota `r` and the effective window `t`: the seconds until more than `r` can be used. `t` is absent if
 * nothing is used, or if the limit never allows a call.
 *
 * Windows are rounded up to whole seconds. A client that complies with `10 in 1 s` also complies with `10 in 500 ms`.
 *
 * @see https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/11/
 */
function rateLimitDraft11(results: readonly LimiterResult[]): readonly HeaderEntry[] {
  let policy = "";
  let status = "";
  for (const { name, limits, decision } of results) {
    const { layers, limit } = decision;
    const areCached = limits?.length === layers.length && limit.ofCall !== true;
    const policies = areCached ? cachedPolicies(name, limits) : formatPolicies(name, layers);
    policy += policy === "" ? policies.policy : `, ${policies.policy}`;
    for (const [index, { remaining, moreAfterMs, periodMs }] of layers.entries()) {
      status += `${status === "" ? "" : ", "}${policies.names[index] ?? ""};r=${remaining}`;
      // Directly after a call, `moreAfterMs` exceeds the period by a millisecond, because time is rounded up to be safe.
      if (moreAfterMs < Infinity) status += `;t=${wholeSeconds(Math.min(moreAfterMs, periodMs))}`;
    }
  }
  return [
    ["RateLimit-Policy", policy],
    ["RateLimit", status],
  ];
}

/** The parts of the fields that do not change between the decisions of a limiter. */
interface FormattedPolicies {
  readonly limiterName: string | undefined;
  /** The members of `RateLimit-Policy`. */
  readonly policy: string;
  /** The names of the limits, quoted. */
  readonly names: readonly string[];
}

const cache = new WeakMap<readonly Limit[], FormattedPolicies>();

function cachedPolicies(limiterName: string | undefined, limits: readonly Limit[]): FormattedPolicies {
  const cached = cache.get(limits);
  if (cached !== undefined && cached.limiterName === limiterName) return cached;
  const formatted = formatPolicies(limiterName, limits);
  cache.set(limits, formatted);
  return formatted;
}

function formatPolicies(limiterName: string | undefined, limits: readonly Limit[]): FormattedPolicies {
  // The names of a limiter that does not publish its limits have not been checked before.
  checkPolicyNames(limiterName, limits);
  const names = limits.map((limit) => quoted(policyName(limiterName, limit)));
  const policy = limits.map((limit, index) => {
    return `${names[index] ?? ""};q=${quotaOf(limit)};w=${wholeSeconds(limit.periodMs)}`;
  });
  return { limiterName, policy: policy.join(", "), names };
}

/** Formats a name as a String of RFC 9651, section 3.3.3. The name must be printable ASCII. */
function quoted(name: string): string {
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}
