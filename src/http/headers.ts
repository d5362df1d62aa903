import type { Decision } from "../core/decision.js";
import { formatDuration } from "../core/duration.js";
import type { Limit } from "../core/limit.js";
import { rangeError, memberOf } from "../core/validate.js";

/** A header field of a response. */
export type HeaderEntry = readonly [name: string, value: string];

/** A wire format of rate-limit headers. */
export interface HeaderFormat {
  /** Whether the fields contain the names of limits, which must then be printable ASCII. */
  readonly isNamed: boolean;
  /**
   * Returns the fields that show the limits.
   *
   * @param decision - of the request.
   * @param results - the decision of each limiter that was consulted.
   */
  readonly fieldsOf: (decision: Decision, results: readonly LimiterResult[]) => readonly HeaderEntry[];
}

/** The decision of one limiter, with the name and the limits that the headers contain. */
export interface LimiterResult {
  /** The name of its policies; undefined for a limiter without a name. */
  readonly name: string | undefined;
  /** Its limits, in the same array until they change; undefined for a limiter that does not publish them. */
  readonly limits: readonly Limit[] | undefined;
  readonly decision: Decision;
}

/**
 * Returns the name of a limit in headers: the name of its limiter, its own name, or both (`"api"`, `"Burst"`, `"api/Burst"`). If
 * neither has a name, the limit without load makes the name: `"100-in-1m"`. So several limits of one request have distinct names,
 * unless they are equal and unnamed.
 */
export function policyName(limiterName: string | undefined, limit: Limit): string {
  const { name, periodMs } = limit;
  if (name !== undefined) return limiterName === undefined ? name : `${limiterName}/${name}`;
  return limiterName ?? `${quotaOf(limit)}-in-${formatDuration(periodMs)}`;
}

/** Returns the calls that a limit allows without load, because a policy must not change with load. */
export function quotaOf(limit: Limit): number {
  // A fake, or a layer that is not reduced, may lack `reducedFrom`.
  return (memberOf(limit, "reducedFrom") as number | undefined) ?? limit.maxCalls;
}

/**
 * Checks that the names of a limiter's policies are valid in a header.
 *
 * @param limits - undefined for a limiter that does not publish them: only its own name is checked then.
 * @param nameOption - the option that contains the name of the limiter, for errors.
 * @param limitsOption - the option that contains its limits, for errors.
 * @throws RangeError for a name that is not printable ASCII. @see RFC 9651, section 3.3.3
 */
export function checkPolicyNames(
  limiterName: string | undefined,
  limits: readonly Limit[] | undefined,
  nameOption: string = "limiter.name",
  limitsOption: string = "limiter.limits",
): void {
  const names = [
    [nameOption, limiterName],
    ...(limits ?? []).map(({ name }) => [limitsOption, name] as const),
  ] as const;
  for (const [option, name] of names) {
    if (name !== undefined && !/^[\x20-\x7e]+$/.test(name)) {
      const rule = "a name of printable ASCII, because it appears in the RateLimit header (or set `headers`)";
      throw rangeError(option, rule, name);
    }
  }
}
