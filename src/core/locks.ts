import type { Duration } from "./duration.js";
import { parseDuration } from "./duration.js";
import type { Limit } from "./limit.js";
import type { TimestampLog } from "./sliding-window.js";
import { retryAfter } from "./sliding-window.js";
import { rangeError, typeError } from "./validate.js";

/** The options that lock a key for longer than its limits refuse it. */
export interface LockOptions {
  /**
   * How long the refusal of a call by a limit locks its key, so that every call of the key is refused: a duration, or several,
   * one for the first lock, one for the second and so on; the last one repeats. A lock ends when the limit would allow the refused
   * call again, if that is later.
   *
   * Each such refusal is a strike. While a key is locked, no call lengthens the lock or adds a strike. Without this option, only
   * `lock` locks a key.
   * @default undefined
   *
   * @example
   * const login = new AsyncRateLimiter({ ...RATE_LIMITS.login, lockFor: ["1m", "15m", "1h", "1d"] });
   */
  readonly lockFor?: Duration | readonly Duration[] | undefined;
  /**
   * How long after the end of its latest lock the strikes of a key are forgotten: then the first of `lockFor` is the next. Only
   * together with `lockFor`.
   * @default "1d"
   */
  readonly forgetAfter?: Duration | undefined;
}

/** Checked {@link LockOptions}, in whole milliseconds. */
export interface LockPolicy {
  /** The length of the first lock, of the second and so on; the last one repeats. Not empty. */
  readonly stepsMs: readonly number[];
  /** Strikes are forgotten that long after the end of the latest lock. */
  readonly forgetAfterMs: number;
}

/** What a store keeps of a key that is locked or has strikes. */
export interface KeyLock {
  /** The first instant of store time at which the latest lock has ended. It identifies the lock. */
  readonly lockedUntil: number;
  /** How many strikes the key has. A lock that was set by hand is none. */
  readonly strikes: number;
}

/**
 * Reads the options of locks. Undefined without `lockFor`.
 *
 * @throws TypeError for an option of the wrong type, or `forgetAfter` without `lockFor`; RangeError for a duration that is
 *   invalid, or an empty list.
 */
export function lockPolicyFrom({ lockFor, forgetAfter }: LockOptions): LockPolicy | undefined {
  if (lockFor === undefined) {
    if (forgetAfter === undefined) return undefined;
    throw typeError("forgetAfter", "absent without `lockFor`, which strikes belong to", forgetAfter);
  }
  const isList = Array.isArray(lockFor);
  const steps: readonly unknown[] = isList ? (lockFor as readonly Duration[]) : [lockFor];
  if (steps.length === 0) throw rangeError("lockFor", "a duration, or a list of at least one", "[]");
  return {
    // Not by `map`, which skips the holes of a list.
    stepsMs: Array.from(steps, (step, at) => parseDuration(isList ? `lockFor[${at}]` : "lockFor", step)),
    forgetAfterMs: parseDuration("forgetAfter", forgetAfter ?? "1d"),
  };
}

/** Milliseconds until a lock ends; 0 if it has ended, or if there is none. */
export function lockedForMs(lock: KeyLock | undefined, now: number): number {
  return Math.max(0, (lock?.lockedUntil ?? -Infinity) - now);
}

/** Whether a lock is another than the one that ends at `lockedUntil`, and so a newer one. Undefined means any lock. */
export function isNewer(lock: KeyLock | undefined, lockedUntil: number | null | undefined): boolean {
  return lock !== undefined && lockedUntil !== undefined && lock.lockedUntil !== lockedUntil;
}

/** The first instant at which a lock and its strikes count no longer. */
export function forgottenAt({ lockedUntil, strikes }: KeyLock, policy: LockPolicy | undefined): number {
  return strikes > 0 && policy !== undefined ? lockedUntil + policy.forgetAfterMs : lockedUntil;
}

/**
 * The lock that a refused call sets on its key, which is not locked; undefined if the refusal is no strike.
 *
 * It is one if the limits without load refuse the call as well, and will allow it at some time. The lock lasts until then, or for
 * the step of the ladder, whichever is longer.
 *
 * @param lock - the latest lock of the key, unless it is forgotten.
 */
export function strike(
  lock: KeyLock | undefined,
  { stepsMs }: LockPolicy,
  log: TimestampLog,
  limits: readonly Limit[],
  cost: number,
  now: number,
): KeyLock | undefined {
  const full = limits.map((limit) => ({ ...limit, maxCalls: limit.reducedFrom ?? limit.maxCalls }));
  const waitMs = retryAfter(log, full, cost, now);
  if (waitMs === 0 || waitMs === Infinity) return undefined;
  const strikes = (lock?.strikes ?? 0) + 1;
  const stepMs = stepsMs[Math.min(strikes, stepsMs.length) - 1] as number;
  return { lockedUntil: now + Math.max(stepMs, waitMs), strikes };
}
