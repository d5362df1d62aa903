import type { Decision, LayerStatus } from "../core/decision.js";
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
 * Returns the problem of a refusal. The status is 503 if the service is short of capacity, otherwise 429.
 *
 * @param isAbuse - whether the limiter guards against abnormal use, and does not enforce a quota.
 * @see draft-ietf-httpapi-ratelimit-headers-11, section 5
 */
export function problemOf(decision: Decision, results: readonly LimiterResult[], isAbuse: boolean): Problem {
  const isShort = isShortage(decision);
  return {
    ...(isShort ? CAPACITY : isAbuse ? ABUSE : QUOTA),
    status: isShort ? 503 : 429,
    "violated-policies": violatedPolicies(results),
  };
}

/** Returns the names of the limits that refused, in order. */
function violatedPolicies(results: readonly LimiterResult[]): string[] {
  const refusing = ({ retryAfterMs }: LayerStatus): boolean => retryAfterMs > 0;
  // A limiter in shadow mode allows the call although a layer may be exceeded.
  const refusals = results.filter(({ decision }) => !decision.allowed);
  return refusals.flatMap(({ name, decision }) =>
    decision.layers.filter(refusing).map((layer) => policyName(name, layer)),
  );
}

/** The problem of a request that was refused because the store failed. It names no quota. */
export const UNAVAILABLE: Problem = { type: "about:blank", title: "Service Unavailable", status: 503 };
