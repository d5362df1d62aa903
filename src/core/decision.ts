import { publish, published } from "./copies.js";
import type { Limit } from "./limit.js";
import { argumentError } from "./validate.js";

/** What one limit stands at, in a {@link Decision}: after this call's spend when it was admitted. */
export interface LayerStatus extends Limit {
  /**
   * Units of cost recorded in the window now. It exceeds `maxCalls` after a limit was lowered, until the extra calls expire.
   * Example: 2.
   */
  readonly used: number;
  /** What may still be spent in this layer now: `maxCalls - used`, and never below 0. Example: 2 used of 5 leave 3. */
  readonly remaining: number;
  /** Milliseconds until this layer would let a call of this cost pass: 0 when it does, `Infinity` when it never can. */
  readonly retryAfterMs: number;
  /**
   * Milliseconds until more than `remaining` may be spent, as long as nobody spends: until the next live call leaves the
   * window. `Infinity` when nothing is spent. Example: 2 of 5 spent 50 s and 10 s ago in a window of 60 s: 10000.
   */
  readonly moreAfterMs: number;
  /** Milliseconds until no call is live in this layer. Example: the newest call is 10 s old of 60 s: 50000. */
  readonly resetAfterMs: number;
}

/** Why a call was let through or refused. */
export type Reason =
  | "Allowed"
  | "Rate limit exceeded"
  | "Reduced rate limit exceeded"
  | "Key capacity exceeded"
  | `${string} rate limit exceeded`;

/** The cause of a refusal: see {@link Decision.refusedBy}. */
export type RefusedBy = "limit" | "load" | "capacity";

/** Who gave the answer. */
export type Source = "memory" | "redis" | "deny-cache" | "fallback" | "bypass";

/**
 * The answer to a call. Times are whole **milliseconds**, relative to the call.
 *
 * The examples are of a limit of 3 per minute whose key made calls 50 s, 20 s and 10 s ago, and now makes a fourth.
 */
export interface Decision {
  /** Whether the call may go ahead. Example: false. */
  readonly allowed: boolean;
  /**
   * Why. Example: `"Rate limit exceeded"`; of several limits, one named `"Burst"` gives `"Burst rate limit exceeded"`; a
   * limit that load has reduced gives `"Reduced rate limit exceeded"`, when it would not have refused in quiet times; a store
   * that has no room for a new key gives `"Key capacity exceeded"`.
   */
  readonly reason: Reason;
  /**
   * The cause of a refusal; `null` when no layer refuses, and for a bypassed call. Example: `"limit"`.
   *
   * - `"limit"`: the key has used up a limit, or the cost exceeds it. A 429 over HTTP.
   * - `"load"`: only a limit that is reduced for the load refuses; the full limit would admit the call. A 503.
   * - `"capacity"`: the store has no room for a new key. A 503.
   *
   * In shadow mode it is the cause that enforce mode would give. Branch on it, and not on `reason`, which is a text for
   * people.
   */
  readonly refusedBy: RefusedBy | null;
  /**
   * The limit that binds: of a refusal the one with the longest wait, else the one with least remaining; the first listed
   * wins a tie. One of the limiter's own `limits`. Example: `{ maxCalls: 3, periodMs: 60000 }`.
   */
  readonly limit: Limit;
  /** What may still be spent now: the least over the layers, after this call's spend. Example: 0. */
  readonly remaining: number;
  /**
   * Milliseconds until the call would pass, as long as nobody else spends and the limits stay: refused one millisecond
   * earlier, allowed then. 0 when none refuses, `Infinity` when the cost exceeds a `maxCalls`. Example: 10000.
   *
   * It is an estimate in two cases. Where a new key found no room: when the first of the keys looked at has a call expire;
   * others may be freed earlier, or their place be taken by then. And where the cost exceeds a `maxCalls` only because that
   * is reduced: when it is looked at again whether it still is; `Infinity` where nobody can say when.
   */
  readonly retryAfterMs: number;
  /** Milliseconds until the log holds no live call in any layer. Example: 50000. */
  readonly resetAfterMs: number;
  /**
   * Whether `refusedBy` is `"load"`: the call was refused only because a limit is reduced for the load.
   */
  readonly reduced: boolean;
  /** What each limit stands at, in their order. */
  readonly layers: readonly LayerStatus[];
  /** The call was let through without asking anybody, and the rest is what a fresh key would get. */
  readonly bypassed: boolean;
  /**
   * A layer refused and shadow mode let the call through: nothing was recorded, and every field but `allowed` is what
   * enforce mode would have said.
   */
  readonly shadowed: boolean;
  /** Who gave the answer. Example: `"memory"`. */
  readonly source: Source;
}

/** What a call recorded, which the store that recorded it can remove. */
export type Receipt = SyncReceipt | AsyncReceipt;

/** A receipt of a store in memory. */
export interface SyncReceipt {
  /** Removes exactly what was recorded, once. True when anything was removed. */
  refund(): boolean;
}

/** A receipt of a store outside of this process, or of a limiter. */
export interface AsyncReceipt {
  /** Removes exactly what was recorded, once. True when anything was removed. */
  refund(): Promise<boolean>;
}

/** What a copy of this package publishes for its decisions. */
interface PublishedDecision {
  /** What a decision of that copy spent. @throws TypeError for an object that merely has the prototype of one. */
  readonly receiptOf: (decision: object) => Receipt | undefined;
}

/** A {@link Decision} as a limiter makes it: it privately carries its receipt, which no copy of it does. */
class LimiterDecision implements Decision {
  static {
    const functions: PublishedDecision = {
      receiptOf: (decision) => {
        if (!(#receipt in decision)) throw noDecision(decision);
        return decision.#receipt;
      },
    };
    publish(this.prototype, "decision", functions);
  }

  readonly #receipt: Receipt | undefined;

  readonly allowed: boolean;
  readonly reason: Reason;
  readonly refusedBy: RefusedBy | null;
  readonly limit: Limit;
  readonly remaining: number;
  readonly retryAfterMs: number;
  readonly resetAfterMs: number;
  readonly reduced: boolean;
  readonly layers: readonly LayerStatus[];
  readonly bypassed: boolean;
  readonly shadowed: boolean;
  readonly source: Source;

  constructor(fields: Decision, receipt: Receipt | undefined) {
    this.allowed = fields.allowed;
    this.reason = fields.reason;
    this.refusedBy = fields.refusedBy;
    this.limit = fields.limit;
    this.remaining = fields.remaining;
    this.retryAfterMs = fields.retryAfterMs;
    this.resetAfterMs = fields.resetAfterMs;
    this.reduced = fields.reduced;
    this.layers = fields.layers;
    this.bypassed = fields.bypassed;
    this.shadowed = fields.shadowed;
    this.source = fields.source;
    this.#receipt = receipt;
  }
}

function noDecision(value: unknown): TypeError {
  return new TypeError(
    argumentError("decision", "a decision that a limiter returned, and neither a copy nor a promise of one", value),
  );
}

/** Makes a decision that remembers what it spent. */
export function makeDecision(fields: Decision, receipt?: Receipt): Decision {
  return new LimiterDecision(fields, receipt);
}

/**
 * What a decision spent, or undefined when it spent nothing. Decisions of other copies of this package have receipts too.
 *
 * @throws TypeError when `value` is no decision of a limiter: a spread copy does not remember, and a refund of one would be
 *   lost; and for a decision of an incompatible copy of this package.
 */
export function receiptOf(value: unknown): Receipt | undefined {
  const theirs = published("decision", value, "decision") as PublishedDecision | undefined;
  if (theirs === undefined) throw noDecision(value);
  return theirs.receiptOf(value as object);
}

/** Milliseconds as HTTP counts time: in whole seconds, rounded up, at least 1. */
export function wholeSeconds(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1000));
}

/**
 * Whole seconds until a refused call would be admitted, rounded up, for `Retry-After`: never more than the window of the
 * limit that binds, rounded up. `Infinity` for a call that never can be.
 *
 * A call in the millisecond of the one before it waits a millisecond more than the window, because times are rounded to the
 * safe side. Without the cap that is a whole second more. The wait for capacity belongs to no window, so it has no cap.
 */
export function retryAfterSeconds({ retryAfterMs, refusedBy, limit }: Decision): number {
  if (retryAfterMs === Infinity) return Infinity;
  return Math.ceil((refusedBy === "capacity" ? retryAfterMs : Math.min(retryAfterMs, limit.periodMs)) / 1000);
}
