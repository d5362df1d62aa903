import type { LayerStatus } from "../core/decision.js";
import { StoreError } from "../core/errors.js";
import type { Limit } from "../core/limit.js";

/** The reply of the script to a call: what was recorded, and the status of each limit. */
export interface Reply {
  readonly passed: boolean;
  /** Identifies the log of the key: a later log of the same key has another epoch. */
  readonly epoch: number;
  /** The newest timestamp of the log: that of the call, if it was recorded. */
  readonly timestamp: number;
  readonly layers: readonly LayerStatus[];
}

/** The count of numbers before the layers, and of each layer. */
const COMMON = 4;
const PER_LAYER = 3;

/** How many numbers the script returns for a call with these limits. */
export function replyLengthFor(limits: readonly Limit[]): number {
  return COMMON + PER_LAYER * limits.length;
}

/** Parses the reply to a call with these limits. @throws StoreError for a reply that the script cannot have sent. */
export function replyOf(reply: unknown, limits: readonly Limit[]): Reply {
  return replyFrom(numbersIn(reply, replyLengthFor(limits)), limits);
}

/** Parses the part of a reply that is about a call with these limits and begins at `start`. */
export function replyFrom(numbers: readonly number[], limits: readonly Limit[], start = 0): Reply {
  const [passed, epoch = 0, time = 0, newest = 0] = numbers.slice(start, start + COMMON);
  const layers = limits.map(({ name, maxCalls, periodMs, reducedFrom }, at): LayerStatus => {
    const first = start + COMMON + PER_LAYER * at;
    const used = numbers[first] as number;
    return {
      name,
      maxCalls,
      periodMs,
      reducedFrom,
      used,
      remaining: Math.max(0, maxCalls - used),
      retryAfterMs: orNever(numbers[first + 1] as number),
      moreAfterMs: orNever(numbers[first + 2] as number),
      resetAfterMs: Math.max(0, newest + periodMs),
    };
  });
  return { passed: passed === 1, epoch, timestamp: time + newest, layers };
}

/** Parses integers that are separated by spaces. @throws StoreError if there are not exactly `count` integers. */
export function numbersIn(reply: unknown, count: number): readonly number[] {
  const numbers = String(reply).split(" ").map(Number);
  if (numbers.length === count && numbers.every(Number.isSafeInteger)) return numbers;
  throw unreadable(reply);
}

/** Parses one integer: clients return it as a number, a bigint or a string. @throws StoreError if it is not an integer. */
export function numberIn(reply: unknown): number {
  const number = typeof reply === "number" ? reply : Number(reply);
  if (reply === null || reply === "" || !Number.isSafeInteger(number)) throw unreadable(reply);
  return number;
}

/** The script returns -1 for a call that can never pass. */
function orNever(ms: number): number {
  return ms < 0 ? Infinity : ms;
}

function unreadable(reply: unknown): StoreError {
  return new StoreError(`Redis sent a reply that the script cannot have sent: ${String(reply).slice(0, 60)}`);
}
