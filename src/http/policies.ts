import type { Limit } from "../core/limit.js";
import type { LimiterResult } from "./headers.js";
import { checkPolicyNames, policyName } from "./headers.js";

/** The parts of the fields that do not change between the decisions of a limiter. */
export interface FormattedPolicies {
  readonly limiterName: string | undefined;
  /** The names of the limits, quoted. */
  readonly names: readonly string[];
  /** The members of `RateLimit-Policy`. */
  readonly members: readonly string[];
  /** The members as a list. */
  readonly list: string;
}

/**
 * Returns a function that formats the policies of a limiter as members of a list of RFC 9651. It formats the limits of each limiter
 * once.
 *
 * @param formatMember - formats one limit, after its quoted name.
 */
export function policyFormatter(
  formatMember: (name: string, limit: Limit) => string,
): (result: LimiterResult) => FormattedPolicies {
  const cache = new WeakMap<readonly Limit[], FormattedPolicies>();
  return ({ name: limiterName, limits, decision: { layers, limit } }) => {
    const areCached = limits?.length === layers.length && limit.ofCall !== true;
    if (!areCached) return formatPolicies(limiterName, layers, formatMember);
    const cached = cache.get(limits);
    if (cached !== undefined && cached.limiterName === limiterName) return cached;
    const formatted = formatPolicies(limiterName, limits, formatMember);
    cache.set(limits, formatted);
    return formatted;
  };
}

function formatPolicies(
  limiterName: string | undefined,
  limits: readonly Limit[],
  formatMember: (name: string, limit: Limit) => string,
): FormattedPolicies {
  // The names of a limiter that does not publish its limits have not been checked before.
  checkPolicyNames(limiterName, limits);
  const names = limits.map((limit) => quoted(policyName(limiterName, limit)));
  const members = limits.map((limit, index) => formatMember(names[index] ?? "", limit));
  return { limiterName, names, members, list: members.join(", ") };
}

/** Returns the policies as a list, each with a further parameter; `""` for none. */
export function policyList({ members, list }: FormattedPolicies, parameter: string): string {
  return parameter === "" ? list : members.map((member) => member + parameter).join(", ");
}

/** Formats a name as a String of RFC 9651, section 3.3.3. The name must be printable ASCII. */
function quoted(name: string): string {
  return `"${name.replace(/["\\]/g, "\\$&")}"`;
}
