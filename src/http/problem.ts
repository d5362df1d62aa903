import type { Decision } from "../core/decision.js";
import { isShortage } from "../core/errors.js";
import type { LimiterResult } from "./headers.js";
import { policyName } from "./headers.js";

/** The body of a refusal, as `application/problem+json`. @see RFC 9457 */
export interface Problem {
  /** A URI that identifies the type of the problem. */
  readonly type: string;
  /** A summary of the type in English. */
  readonly title: string;
  /** The HTTP status of the response. */
  readonly status: number;
  /** The names of the limits that refused, as in the `RateLimit` header. */
  readonly "violated-policies"?: readonly string[];
}

/** The statuses that a request of a locked key can get. */
export type LockedStatus = 429 | 403;

const REGISTRY = "https://iana.org/assignments/http-problem-types#";

const QUOTA = {
  type: `${REGISTRY}quota-exceeded`,
  title: "Request cannot be satisfied as assigned quota has been exceeded",
};
const CAPACITY = {
  type: `${REGISTRY}temporary-reduced-capacity`,
  title: "Request cannot be satisfied due to temporary server capacity constraints",
};
const ABUSE = {
  type: `${REGISTRY}abnormal-usage-detected`,
  title: "Request not satisfied due to detection of abnormal request pattern",
};

/**
 * Returns the problem of a refusal. The status is 503 if the service is short of capacity, `lockedStatus` if the key is locked, and
 * otherwise 429.
 *
 * @param isAbuse - whether the limiter guards against abnormal use, and does not enforce a quota.
 * @see draft-ietf-httpapi-ratelimit-headers-11, section 5
 */
export function problemOf(
  decision: Decision,
  results: readonly LimiterResult[],
  isAbuse: boolean,
  lockedStatus: LockedStatus,
): Problem {
  const isShort = isShortage(decision);
  const isLocked = decision.refusedBy === "lock";
  return {
    ...(isShort ? CAPACITY : isAbuse || isLocked ? ABUSE : QUOTA),
    status: isShort ? 503 : isLocked ? lockedStatus : 429,
    "violated-policies": violatedPolicies(results),
  };
}

/** Returns the names of the limits that refused, in order: all limits of a limiter that has locked the key. */
function violatedPolicies(results: readonly LimiterResult[]): string[] {
  // A limiter in shadow mode allows the call although a layer may be exceeded.
  const refusals = results.filter(({ decision }) => !decision.allowed);
  return refusals.flatMap(({ name, decision: { layers, refusedBy } }) => {
    const refusing = layers.filter(({ retryAfterMs }) => refusedBy === "lock" || retryAfterMs > 0);
    return refusing.map((layer) => policyName(name, layer));
  });
}

/** The problem of a request that was refused because the store failed. It names no quota. */
export const UNAVAILABLE: Problem = { type: "about:blank", title: "Service Unavailable", status: 503 };
