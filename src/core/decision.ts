import { publish, published } from "./copies.js";
import type { Limit } from "./limit.js";
import { typeError } from "./validate.js";

/** The status of one limit in a {@link Decision}, which includes this call if it was recorded. */
export interface LayerStatus extends Limit {
  /**
   * Units of cost recorded in the window now. It exceeds `maxCalls` after a limit was lowered, until the extra calls expire.
   * Example: 2.
   */
  readonly used: number;
  /** The cost that this layer still allows now: `maxCalls - used`, and never below 0. Example: 2 used of 5 leave 3. */
  readonly remaining: number;
  /** Milliseconds until this layer would allow a call of this cost: 0 if it does now, `Infinity` if it never can. */
  readonly retryAfterMs: number;
  /**
   * Milliseconds until more than `remaining` is allowed, if no other call is recorded: until the next timestamp expires.
   * `Infinity` if none is unexpired. Example: 2 of 5 used, 50 s and 10 s ago, in a window of 60 s: 10000.
   */
  readonly moreAfterMs: number;
  /** Milliseconds until every call has expired in this layer. Example: the newest call is 10 s old of 60 s: 50000. */
  readonly resetAfterMs: number;
}

/** Why a call was allowed or refused, in words. */
export type Reason =
  | "Allowed"
  | "Rate limit exceeded"
  | "Reduced rate limit exceeded"
  | "Key capacity exceeded"
  | "Locked"
  | `${string} rate limit exceeded`;

/** The cause of a refusal: see {@link Decision.refusedBy}. */
export type RefusedBy = "limit" | "load" | "capacity" | "lock";

/** Where a decision was made. */
export type Source = "memory" | "redis" | "kv" | "deny-cache" | "fallback" | "bypass";

/**
 * The decision on a call. Times are whole **milliseconds**, relative to the call.
 *
 * In the examples, the limit is 3 per minute, the key made calls 50 s, 20 s and 10 s ago, and now makes a fourth.
 */
export interface Decision {
  /** Whether the call is allowed. Example: false. */
  readonly allowed: boolean;
  /**
   * The reason, for people. Example: `"Rate limit exceeded"`. A limit with the name `"Burst"` gives `"Burst rate limit exceeded"`;
   * a limit that is reduced by load, and would not refuse otherwise, `"Reduced rate limit exceeded"`; a store without room for a
   * new key `"Key capacity exceeded"`; a key that was locked before the call `"Locked"`.
   */
  readonly reason: Reason;
  /**
   * The cause of a refusal; `null` when no layer refuses, and for a bypassed call. Example: `"limit"`.
   *
   * - `"limit"`: the key has used up a limit, or the cost exceeds it. A 429 over HTTP.
   * - `"load"`: only a limit that is reduced for the load refuses; the full limit would admit the call. A 503.
   * - `"capacity"`: the store has no room for a new key. A 503.
   * - `"lock"`: the key was locked before the call, by an earlier refusal (`lockFor`) or by `lock`. A 429.
   *
   * In shadow mode it is the cause that enforce mode would give. Branch on it, and not on `reason`, which is a text for
   * people.
   */
  readonly refusedBy: RefusedBy | null;
  /**
   * The limit that binds: of a refusal the one with the longest wait, else the one with the least remaining, and the first one of
   * equals. It is an element of `limits` of the limiter, or has the `maxCalls` of the call. Example:
   * `{ maxCalls: 3, periodMs: 60000 }`.
   */
  readonly limit: Limit;
  /** The cost that is still allowed now: the least over the layers, after this call; 0 while the key is locked. Example: 0. */
  readonly remaining: number;
  /**
   * Milliseconds until the call would be allowed, if no other call is recorded and the limits stay: one millisecond earlier it
   * would be refused. 0 if no layer refuses, `Infinity` if the cost exceeds a `maxCalls`. A lock is included. Example: 10000.
   *
   * It is an estimate in two cases. If there is no room for a new key, it is the time until one of the visited keys can be
   * replaced; there may be room earlier, or another key may take it. If the cost exceeds a `maxCalls` only because that is reduced,
   * it is the time until the limit is reviewed; `Infinity` if that is unknown.
   */
  readonly retryAfterMs: number;
  /** Milliseconds until every call of the key has expired in every layer. Example: 50000. */
  readonly resetAfterMs: number;
  /**
   * Milliseconds until the lock of the key ends, if it is locked after this call; else 0. The refusal that locks a key has
   * `refusedBy: "limit"`, the later ones have `"lock"`. Example, with `lockFor: "15m"`: 900000.
   */
  readonly lockedForMs: number;
  /**
   * How often a refusal has locked the key, this one included, until that is forgotten (`forgetAfter`). Example, with `lockFor`: 1.
   */
  readonly strikes: number;
  /**
   * Whether `refusedBy` is `"load"`: the call was refused only because a limit is reduced for the load.
   */
  readonly reduced: boolean;
  /** The status of each limit, in the order of `limits`. */
  readonly layers: readonly LayerStatus[];
  /** The call was allowed by `bypass`, without the store. The other fields are those of a key without earlier calls. */
  readonly bypassed: boolean;
  /**
   * A layer refused the call, and shadow mode allowed it: nothing was recorded, and every field but `allowed` is what it would be
   * in enforce mode.
   */
  readonly shadowed: boolean;
  /** Where the decision was made. Example: `"memory"`. */
  readonly source: Source;
}

/** What a call recorded, which the store that recorded it can remove. */
export type Receipt = SyncReceipt | AsyncReceipt;

/** A receipt of a store in memory. */
export interface SyncReceipt {
  /** Removes exactly what was recorded, once. True if anything was removed. */
  refund(): boolean;
}

/** A receipt of a store outside of this process, or of a limiter. */
export interface AsyncReceipt {
  /** Removes exactly what was recorded, once. True if anything was removed. */
  refund(): Promise<boolean>;
}

/** What a copy of this package publishes for its decisions. */
interface PublishedDecision {
  /** The receipt of a decision of that copy. @throws TypeError for an object that only inherits from one. */
  readonly receiptOf: (decision: object) => Receipt | undefined;
}

/** A {@link Decision} with its receipt in a private field, which a copy does not have. */
class LimiterDecision implements Decision {
  static {
    const functions: PublishedDecision = {
      receiptOf: (decision) => {
        if (!(#receipt in decision)) throw notADecision(decision);
        return decision.#receipt;
      },
    };
    publish(this.prototype, "decision", functions);
  }

  readonly #receipt: Receipt | undefined;

  // Without `declare`, each field would be written twice: with undefined first.
  declare readonly allowed: boolean;
  declare readonly reason: Reason;
  declare readonly refusedBy: RefusedBy | null;
  declare readonly limit: Limit;
  declare readonly remaining: number;
  declare readonly retryAfterMs: number;
  declare readonly resetAfterMs: number;
  declare readonly lockedForMs: number;
  declare readonly strikes: number;
  declare readonly reduced: boolean;
  declare readonly layers: readonly LayerStatus[];
  declare readonly bypassed: boolean;
  declare readonly shadowed: boolean;
  declare readonly source: Source;

  constructor(fields: Decision, receipt: Receipt | undefined) {
    this.allowed = fields.allowed;
    this.reason = fields.reason;
    this.refusedBy = fields.refusedBy;
    this.limit = fields.limit;
    this.remaining = fields.remaining;
    this.retryAfterMs = fields.retryAfterMs;
    this.resetAfterMs = fields.resetAfterMs;
    this.lockedForMs = fields.lockedForMs;
    this.strikes = fields.strikes;
    this.reduced = fields.reduced;
    this.layers = fields.layers;
    this.bypassed = fields.bypassed;
    this.shadowed = fields.shadowed;
    this.source = fields.source;
    this.#receipt = receipt;
  }
}

function notADecision(value: unknown): TypeError {
  return typeError("decision", "a decision that a limiter returned, and neither a copy nor a promise of one", value);
}

/** Makes a decision with the receipt of what was recorded. */
export function makeDecision(fields: Decision, receipt?: Receipt): Decision {
  return new LimiterDecision(fields, receipt);
}

/**
 * The receipt of a decision, or undefined if nothing was recorded. Decisions of other copies of this package have receipts too.
 *
 * @throws TypeError if `value` is not a decision of a limiter, such as a spread copy, which has no receipt; and for a decision of
 *   an incompatible copy of this package.
 */
export function receiptOf(value: unknown): Receipt | undefined {
  const functions = published("decision", value, "decision") as PublishedDecision | undefined;
  if (functions === undefined) throw notADecision(value);
  return functions.receiptOf(value as object);
}

/** Milliseconds in whole seconds, rounded up, at least 1. */
export function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/**
 * Whole seconds until a refused call would be admitted, rounded up, for `Retry-After`: never more than the window of the
 * limit that binds, or the lock, rounded up. `Infinity` if it never can be.
 *
 * A call in the same millisecond as the one before it waits a millisecond more than the window, because times are rounded to the
 * safe side. Without the cap that would be a whole second more. The wait for room belongs to no window, so it has no cap.
 */
export function retryAfterSeconds(decision: Decision): number {
  const { retryAfterMs, refusedBy, limit } = decision;
  if (retryAfterMs === Infinity) return Infinity;
  const isCapped = refusedBy !== "capacity";
  const waitMs = isCapped ? Math.max(Math.min(retryAfterMs, limit.periodMs), shownLockMs(decision)) : retryAfterMs;
  return Math.ceil(waitMs / 1000);
}

/**
 * Milliseconds until the lock of the key ends, for values in whole seconds; 0 without a lock. A lock that lasts until the window
 * allows the call may exceed the window by the millisecond of rounding.
 */
export function shownLockMs({ lockedForMs, limit: { periodMs } }: Decision): number {
  if (!(lockedForMs > 0)) return 0;
  return lockedForMs === periodMs + 1 ? periodMs : lockedForMs;
}
