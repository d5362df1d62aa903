import type { Decision, LayerStatus } from "../core/decision.js";
import { shownLockMs, wholeSeconds } from "../core/decision.js";
import { formatDuration } from "../core/duration.js";
import type { Limit } from "../core/limit.js";
import { rangeError, memberOf } from "../core/validate.js";

/** A header field of a response. */
export type HeaderEntry = readonly [name: string, value: string];

/** The field that lists the fields which a script of another origin can read. @see The Fetch standard, section 3.3.5 */
export const EXPOSE_HEADERS: string = "Access-Control-Expose-Headers";

/** How a field shows the time of a reset: in seconds from now, or in seconds since 1970. */
export type ResetFormat = "seconds" | "epoch";

/** What an application can choose in a wire format. */
export interface HeaderSettings {
  readonly resetFormat: ResetFormat;
  /** Whether the fields contain partition keys. */
  readonly partitionKey: boolean;
}

/** A wire format of rate-limit headers. */
export interface HeaderFormat {
  /** The names of its fields. */
  readonly fieldNames: readonly string[];
  /** Whether the fields contain the names of limits, which must then be printable ASCII. */
  readonly isNamed: boolean;
  /** Whether the fields can contain partition keys. */
  readonly hasPartitionKey: boolean;
  /** The default of a format with a choice; undefined for a format without. */
  readonly resetFormat: ResetFormat | undefined;
  /**
   * Returns the fields that show the limits.
   *
   * @param decision - of the request.
   * @param results - the decision of each limiter that was consulted.
   */
  readonly fieldsOf: (
    decision: Decision,
    results: readonly LimiterResult[],
    settings: HeaderSettings,
  ) => readonly HeaderEntry[];
}

/** The decision of one limiter, with the name and the limits that the headers contain. */
export interface LimiterResult {
  /** The name of its policies; undefined for a limiter without a name. */
  readonly name: string | undefined;
  /** Its limits, in the same array until they change; undefined for a limiter that does not publish them. */
  readonly limits: readonly Limit[] | undefined;
  /** The key that it checked. */
  readonly key: string;
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

/** The calls that a layer shows as left: none while the key is locked, whatever the log allows. */
export function shownRemaining({ remaining }: LayerStatus, { lockedForMs }: Decision): number {
  return lockedForMs > 0 ? 0 : remaining;
}

/**
 * Returns the milliseconds in which no more than {@link shownRemaining} calls of a layer can be used: until its next call expires,
 * which is at most its window, and at least until the lock of the key ends. `Infinity` if nothing is used, or nothing is ever
 * allowed.
 */
export function shownMoreAfterMs(layer: LayerStatus, decision: Decision): number {
  const { remaining, moreAfterMs, periodMs } = layer;
  // Directly after a call, `moreAfterMs` exceeds the period by a millisecond, because time is rounded up to be safe.
  const ms = moreAfterMs < Infinity ? Math.min(moreAfterMs, periodMs) : Infinity;
  const lockMs = shownLockMs(decision);
  return lockMs > 0 ? Math.max(lockMs, remaining > 0 ? 0 : ms) : ms;
}

/**
 * Returns the milliseconds to the reset of a layer by the drafts up to 8: until the refused call would be allowed, because it
 * should be the same time as `Retry-After`, and otherwise until more remains. If that never happens, the window.
 */
export function layerResetMs(layer: LayerStatus, decision: Decision): number {
  const { retryAfterMs, periodMs } = layer;
  if (retryAfterMs > 0 && retryAfterMs < Infinity) {
    return Math.max(Math.min(retryAfterMs, periodMs), shownLockMs(decision));
  }
  const ms = shownMoreAfterMs(layer, decision);
  return ms < Infinity ? ms : periodMs;
}

/**
 * Returns the milliseconds to the reset of the limit that binds, for a format that shows one limit. If the store has no room for
 * the key, it is the wait for room.
 *
 * @param ofLayer - returns the milliseconds to the reset of a layer, by the definition of the format.
 */
export function resetMs(decision: Decision, ofLayer: (layer: LayerStatus, decision: Decision) => number): number {
  const { limit, layers, refusedBy, retryAfterMs, resetAfterMs } = decision;
  if (refusedBy === "capacity" && retryAfterMs < Infinity) return retryAfterMs;
  const binding = layers.find(({ name, periodMs }) => name === limit.name && periodMs === limit.periodMs);
  return binding === undefined ? resetAfterMs : ofLayer(binding, decision);
}

/** Formats the time of a reset, rounded up to a whole second. */
export function formatReset(ms: number, format: ResetFormat): string {
  return String(format === "epoch" ? Math.ceil((Date.now() + ms) / 1000) : wholeSeconds(ms));
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
