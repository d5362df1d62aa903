/**
 * What the package promises, by brute force: lists of admitted calls, filtered again for each question. Shares no code with `src`.
 * Property tests, the soak test and the demos compare with it.
 *
 * Locks are lists too: of all that were set, from which strikes are counted again for each question.
 *
 * A limit holds if no window `(now - periodMs, now]` contains more than `maxCalls` units of admitted calls, and if a call is refused
 * only when it would make such a window.
 */

export interface ModelLimit {
  readonly name?: string | undefined;
  readonly maxCalls: number;
  readonly periodMs: number;
  /** The `maxCalls` without load. */
  readonly reducedFrom?: number | undefined;
}

/** How refusals lock keys: the lengths of the locks, the last of which repeats, and when strikes are forgotten. */
export interface ModelPolicy {
  readonly stepsMs: readonly number[];
  readonly forgetAfterMs: number;
}

/** A lock that was set, by a strike or by hand. */
interface ModelLock {
  readonly key: string;
  readonly setAt: number;
  readonly until: number;
  readonly isStrike: boolean;
}

/** The admitted calls of one key. */
export type ModelLog = readonly { readonly timestamp: number; readonly cost: number }[];

/** The fields of a decision that follow from the log and the locks. */
export type ModelDecision = Omit<ReturnType<typeof decisionOf>, "refusedBy"> & {
  readonly refusedBy: "limit" | "lock" | null;
};

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
  const refusedBy = allowed ? null : ("limit" as const);
  const unlocked = { lockedForMs: 0, strikes: 0 };
  return { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers, ...unlocked };
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
  #locks: ModelLock[] = [];
  readonly #policy: ModelPolicy | undefined;

  /** @param policy - how refusals lock keys; undefined if they do not. */
  constructor(policy?: ModelPolicy) {
    this.#policy = policy;
  }

  /** @param mayStrike - whether a refusal by the limits may lock the key. */
  check(
    key: string,
    limits: readonly ModelLimit[],
    cost: number,
    now: number,
    timestamp: number = now,
    mayStrike: boolean = true,
  ): ModelDecision {
    const before = this.peek(key, limits, cost, now);
    const admission = { key, timestamp, cost };
    if (before.allowed) {
      const { strikes } = before;
      const after = checkOf(this.#logOf(key), limits, admission, now);
      this.admissions.push(admission);
      return { ...after, strikes };
    }
    if (before.refusedBy !== "limit" || !mayStrike || this.#policy === undefined) return before;
    const full = limits.map((limit) => ({ ...limit, maxCalls: limit.reducedFrom ?? limit.maxCalls }));
    const waitMs = decisionOf(this.#logOf(key), full, cost, now).retryAfterMs;
    if (waitMs === 0 || waitMs === Infinity) return before;
    const { stepsMs } = this.#policy;
    const stepMs = stepsMs[before.strikes] ?? stepsMs[stepsMs.length - 1] ?? NaN;
    this.#locks.push({ key, setAt: now, until: Math.max(now + stepMs, now + waitMs), isStrike: true });
    return { ...this.peek(key, limits, cost, now), reason: before.reason, refusedBy: "limit" };
  }

  peek(key: string, limits: readonly ModelLimit[], cost: number, now: number): ModelDecision {
    const decision = decisionOf(this.#logOf(key), limits, cost, now);
    const { lockedForMs, strikes } = this.lockOf(key, now);
    if (lockedForMs === 0) return { ...decision, strikes };
    const retryAfterMs = Math.max(lockedForMs, decision.retryAfterMs);
    const locked = { allowed: false, reason: "Locked", refusedBy: "lock", remaining: 0 } as const;
    return { ...decision, ...locked, retryAfterMs, lockedForMs, strikes };
  }

  /** What `state` says of the lock of a key. */
  lockOf(key: string, now: number): { lockedForMs: number; strikes: number; lockedUntil: number | null } {
    const strikes = this.#strikesOf(key, now);
    const latest = this.#locks.filter((lock) => lock.key === key).at(-1);
    if (latest === undefined || (latest.until <= now && strikes === 0)) {
      return { lockedForMs: 0, strikes: 0, lockedUntil: null };
    }
    return { lockedForMs: Math.max(0, latest.until - now), strikes, lockedUntil: latest.until };
  }

  /** Locks a key by hand. */
  lock(key: string, ms: number, now: number): void {
    this.#locks.push({ key, setAt: now, until: now + ms, isStrike: false });
  }

  /**
   * Removes the lock and the strikes of a key. Returns whether it did.
   *
   * @param given - a `lockedUntil`: if the key has another lock, nothing is removed. Undefined for any.
   */
  unlock(key: string, now: number, given?: number | null): boolean {
    const { lockedUntil } = this.lockOf(key, now);
    if (lockedUntil === null || (given !== undefined && given !== lockedUntil)) return false;
    this.#locks = this.#locks.filter((lock) => lock.key !== key);
    return true;
  }

  /** The strikes that are not forgotten: walks through all locks of the key. */
  #strikesOf(key: string, now: number): number {
    let strikes = 0;
    let forgottenAt = Infinity;
    for (const { setAt, until, isStrike } of this.#locks.filter((lock) => lock.key === key)) {
      if (setAt >= forgottenAt) strikes = 0;
      if (isStrike) strikes += 1;
      forgottenAt = until + (this.#policy?.forgetAfterMs ?? 0);
    }
    return now >= forgottenAt ? 0 : strikes;
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

  /** Forgets a key, unless it has another lock than the one that ends at `given`, or all keys. */
  reset(key?: string, now: number = -Infinity, given?: number | null): void {
    if (key !== undefined && given !== undefined) {
      const { lockedUntil } = this.lockOf(key, now);
      if (lockedUntil !== null && lockedUntil !== given) return;
    }
    this.admissions = this.admissions.filter((admission) => key !== undefined && admission.key !== key);
    this.#locks = this.#locks.filter((lock) => key !== undefined && lock.key !== key);
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
