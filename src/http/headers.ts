import type { Decision, LayerStatus } from "../core/decision.js";
import { formatDuration } from "../core/duration.js";
import type { Limit } from "../core/limit.js";
import { argumentError, memberOf } from "../core/validate.js";

/** A header field of an answer. */
export type HeaderEntry = readonly [name: string, value: string];

/**
 * The value that a field is to have, given the one that it has already: RateLimit and RateLimit-Policy are lists, to which
 * each limiter on the way of a request adds what it knows; every other field says what the last one says.
 *
 * @see RFC 9651, section 3.1
 */
export function appendHeader([name, value]: HeaderEntry, before: unknown): string {
  const isList = name === "RateLimit" || name === "RateLimit-Policy";
  const list = Array.isArray(before) ? before.join(", ") : before;
  return isList && typeof list === "string" && list !== "" ? `${list}, ${value}` : value;
}

/**
 * The fields to set on a response that a handler made: each limit is added to what the response has of it, unless the limit is
 * there already, and the `defaults` are set where the response has none.
 *
 * @param valueOf - the value that the response has of a field.
 */
export function missingHeaders(
  limits: readonly HeaderEntry[],
  defaults: readonly HeaderEntry[],
  valueOf: (name: string) => string | null,
): HeaderEntry[] {
  const missing = limits.flatMap((entry): HeaderEntry[] => {
    const [name, value] = entry;
    const before = valueOf(name);
    return `, ${before}, `.includes(`, ${value}, `) ? [] : [[name, appendHeader(entry, before)]];
  });
  return [...missing, ...defaults.filter(([name]) => valueOf(name) === null)];
}

/** What one limiter answered, and what it is called in HTTP. */
export interface LimiterResult {
  /** The name that its limits are called by; undefined for a limiter without a name. */
  readonly name: string | undefined;
  /** Its limits, where it tells of them: the same array as long as they are the same. */
  readonly limits: readonly Limit[] | undefined;
  readonly decision: Decision;
}

/**
 * The name of a limit in HTTP: its limiter's name, its own, or both (`"api"`, `"Burst"`, `"api/Burst"`). Where neither has a
 * name it is made of the limit: `"100-in-1m"`, by what the limit is without load. So several limits on the way of one request
 * have distinct names, unless they are equal and have none.
 */
export function policyName(limiterName: string | undefined, limit: Limit): string {
  const { name, periodMs } = limit;
  if (name !== undefined) return limiterName === undefined ? name : `${limiterName}/${name}`;
  return limiterName ?? `${quotaOf(limit)}-in-${formatDuration(periodMs)}`;
}

/** What a limit is without load: a policy is to stay the same. */
export function quotaOf(limit: Limit): number {
  // A status of a fake, or of a layer that is not reduced, need not have it.
  return (memberOf(limit, "reducedFrom") as number | undefined) ?? limit.maxCalls;
}

/** The names of the limits that refused, in their order. */
export function violatedPolicies(answers: readonly LimiterResult[]): string[] {
  const refusing = ({ retryAfterMs }: LayerStatus): boolean => retryAfterMs > 0;
  // A limiter in shadow mode refuses nobody, whatever its layers say.
  const asked = answers.filter(({ decision }) => !decision.allowed);
  return asked.flatMap(({ name, decision }) =>
    decision.layers.filter(refusing).map((layer) => policyName(name, layer)),
  );
}

/**
 * Checks that the names of a limiter's policies are valid in a header.
 *
 * @param limits - undefined for a limiter that does not publish them: then only its own name is checked.
 * @param nameOption - the option that holds the name of the limiter, for errors.
 * @param limitsOption - the option that holds its limits, for errors.
 * @throws RangeError for a name that is not printable ASCII. @see RFC 9651, section 3.3.3
 */
export function checkPolicyNames(
  limiterName: string | undefined,
  limits: readonly Limit[] | undefined,
  nameOption: string = "limiter.name",
  limitsOption: string = "limiter.limits",
): void {
  const names = [[nameOption, limiterName], ...(limits ?? []).map(({ name }) => [limitsOption, name])] as const;
  for (const [option, name] of names) {
    if (name !== undefined && !/^[\x20-\x7e]+$/.test(name)) {
      const rule = "a name of printable ASCII, because it stands in the RateLimit header (or set `headers`)";
      throw new RangeError(argumentError(option ?? nameOption, rule, name));
    }
  }
}
