/**
 * What the package promises, by brute force: lists of admitted calls, filtered again for each question. Shares no code with `src`.
 * Property tests, the soak test and the demos compare with it.
 *
 * A limit holds if no window `(now - periodMs, now]` contains more than `maxCalls` units of admitted calls, and if a call is refused
 * only when it would make such a window.
 */

export interface ModelLimit {
  readonly name?: string | undefined;
  readonly maxCalls: number;
  readonly periodMs: number;
}

/** The admitted calls of one key. */
export type ModelLog = readonly { readonly timestamp: number; readonly cost: number }[];

/** The fields of a decision that follow from the log. */
export type ModelDecision = ReturnType<typeof decisionOf>;

/** The units in the window of a limit. */
export function used(log: ModelLog, periodMs: number, now: number): number {
  return unexpired(log, periodMs, now).reduce((sum, { cost }) => sum + cost, 0);
}

/** The decision about a call that is not recorded yet. A `cost` of 0 describes the log itself. */
export function decisionOf(log: ModelLog, limits: readonly ModelLimit[], cost: number, now: number) {
  const layers = limits.map(({ name, maxCalls, periodMs }) => {
    const ends = unexpired(log, periodMs, now).map(({ timestamp }) => timestamp + periodMs);
    const remainingAt = (at: number): number => Math.max(0, maxCalls - used(log, periodMs, at));
    // The log only shrinks as time passes, so a condition becomes true now or when a call expires.
    const msUntil = (isTrueAt: (at: number) => boolean): number =>
      ([now, ...ends].sort((a, b) => a - b).find(isTrueAt) ?? Infinity) - now;
    return {
      name,
      maxCalls,
      periodMs,
      used: used(log, periodMs, now),
      remaining: remainingAt(now),
      retryAfterMs: msUntil((at) => used(log, periodMs, at) + cost <= maxCalls),
      moreAfterMs: msUntil((at) => remainingAt(at) > remainingAt(now)),
      resetAfterMs: Math.max(0, ...ends.map((end) => end - now)),
    };
  });
  const retryAfterMs = Math.max(...layers.map((layer) => layer.retryAfterMs));
  const remaining = Math.min(...layers.map((layer) => layer.remaining));
  const resetAfterMs = Math.max(...layers.map((layer) => layer.resetAfterMs));
  const allowed = retryAfterMs === 0;
  const decisive = layers.findIndex((layer) =>
    allowed ? layer.remaining === remaining : layer.retryAfterMs === retryAfterMs,
  );
  const limit = limits[decisive] as ModelLimit;
  const refusal = limit.name === undefined ? "Rate limit exceeded" : `${limit.name} rate limit exceeded`;
  const reason = allowed ? "Allowed" : refusal;
  const refusedBy = allowed ? null : "limit";
  return { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers };
}

/** The decision about a call that is recorded if it is allowed. */
export function checkOf(
  log: ModelLog,
  limits: readonly ModelLimit[],
  admission: ModelLog[number],
  now: number,
): ModelDecision {
  const before = decisionOf(log, limits, admission.cost, now);
  if (!before.allowed) return before;
  const after = decisionOf([...log, admission], limits, 0, now);
  return { ...after, allowed: true, reason: "Allowed", refusedBy: null, retryAfterMs: 0 };
}

function unexpired(log: ModelLog, periodMs: number, now: number): ModelLog {
  return log.filter(({ timestamp }) => timestamp > now - periodMs);
}

/** One admitted call. */
export interface Admission {
  readonly key: string;
  readonly timestamp: number;
  readonly cost: number;
}

/** A limiter of any number of keys. */
export class Model {
  admissions: Admission[] = [];

  check(key: string, limits: readonly ModelLimit[], cost: number, now: number, timestamp: number = now): ModelDecision {
    const admission = { key, timestamp, cost };
    const decision = checkOf(this.#logOf(key), limits, admission, now);
    if (decision.allowed) this.admissions.push(admission);
    return decision;
  }

  peek(key: string, limits: readonly ModelLimit[], cost: number, now: number): ModelDecision {
    return decisionOf(this.#logOf(key), limits, cost, now);
  }

  used(key: string, periodMs: number, now: number): number {
    return used(this.#logOf(key), periodMs, now);
  }

  /** Removes an admission if it is unexpired in the longest of the periods. Returns whether it did. */
  refund(admission: Admission, periodsMs: readonly number[], now: number): boolean {
    const isRefunded = unexpired(this.admissions, Math.max(...periodsMs), now).includes(admission);
    if (isRefunded) this.admissions = this.admissions.filter((other) => other !== admission);
    return isRefunded;
  }

  reset(key?: string): void {
    this.admissions = key === undefined ? [] : this.admissions.filter((admission) => admission.key !== key);
  }

  #logOf(key: string): ModelLog {
    return this.admissions.filter((admission) => admission.key === key);
  }
}

/** One call as an observer sees it: it was decided, and recorded if it was admitted, at some instant from `from` to `to`. */
export interface ObservedCall {
  readonly key: string;
  readonly admitted: boolean;
  readonly from: number;
  readonly to: number;
  /** Whether the call was admitted and refunded by `to`. */
  readonly refunded?: boolean;
}

/** The admitted calls that are certainly in the window that begins at `start`. */
export function certainlyUsed(calls: readonly ObservedCall[], start: number, periodMs: number): number {
  const isInside = (call: ObservedCall): boolean => call.from >= start && call.to < start + periodMs;
  return calls.filter((call) => call.admitted && call.refunded !== true && isInside(call)).length;
}

/** The admitted calls that may have been in the window of another call when it was decided. */
function possiblyUsed(calls: readonly ObservedCall[], other: ObservedCall, periodMs: number): number {
  const isInside = (call: ObservedCall): boolean =>
    call.from <= other.to && call.to > (call.refunded === true ? other.from : other.from - periodMs);
  return calls.filter((call) => call.admitted && isInside(call)).length;
}

/** One line for each call that breaks the promise, wherever its instant and those of the others were. */
export function violationsOf(calls: readonly ObservedCall[], limits: readonly ModelLimit[]): string[] {
  return [...new Set(calls.map(({ key }) => key))].flatMap((key) => {
    const ofKey = calls.filter((call) => call.key === key);
    return ofKey.flatMap((call) => {
      if (call.refunded === true) return [];
      if (call.admitted) {
        return limits.flatMap(({ maxCalls, periodMs }) => {
          const count = certainlyUsed(ofKey, call.from, periodMs);
          return count > maxCalls ? [`${key}: ${String(count)} admitted within ${String(periodMs)} ms`] : [];
        });
      }
      const isRequired = limits.some(({ maxCalls, periodMs }) => possiblyUsed(ofKey, call, periodMs) >= maxCalls);
      return isRequired ? [] : [`${key}: refused at ${String(call.from)}, which no window requires`];
    });
  });
}
