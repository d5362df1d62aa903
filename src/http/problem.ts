import type { Decision } from "../core/decision.js";
import { isShortage } from "../core/errors.js";
import type { LimiterResult } from "./headers.js";
import { violatedPolicies } from "./headers.js";

/** The body of a refusal, as `application/problem+json`. @see RFC 9457 */
export interface Problem {
  /** A URI that tells one kind of problem from others. */
  readonly type: string;
  readonly title: string;
  readonly status: number;
  /** The names of the limits that refused, as they stand in the RateLimit header. */
  readonly "violated-policies"?: readonly string[];
}

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
 * What kind of problem a refusal is: 503 where the service is short of capacity, else 429.
 *
 * @param isAbuse - the limiter is there against abnormal use, and not to enforce a quota.
 * @see draft-ietf-httpapi-ratelimit-headers-11, section 5
 */
export function problemOf(decision: Decision, answers: readonly LimiterResult[], isAbuse: boolean): Problem {
  const isShort = isShortage(decision);
  return {
    ...(isShort ? CAPACITY : isAbuse ? ABUSE : QUOTA),
    status: isShort ? 503 : 429,
    "violated-policies": violatedPolicies(answers),
  };
}

/** The problem of a store that could not answer: never a quota of the client's. */
export const UNAVAILABLE: Problem = { type: "about:blank", title: "Service Unavailable", status: 503 };
