import type { LayerStatus } from "../core/decision.js";
import { StoreError } from "../core/errors.js";
import type { Limit } from "../core/limit.js";

/** What the script says to a call: what was spent, if it passed, and what each limit stands at. */
export interface Reply {
  readonly passed: boolean;
  /** Which log the key has: of two that it had one after the other, they differ. */
  readonly epoch: number;
  /** The newest of the log: what was recorded, if the call was. */
  readonly stamp: number;
  readonly layers: readonly LayerStatus[];
}

/** Numbers before those of the layers, and of each layer. */
const COMMON = 4;
const PER_LAYER = 3;

/** How many numbers the script says about a call by these limits. */
export function amountFor(limits: readonly Limit[]): number {
  return COMMON + PER_LAYER * limits.length;
}

/** Reads what the script said about a call by these limits. @throws StoreError for what it cannot have said. */
export function replyOf(reply: unknown, limits: readonly Limit[]): Reply {
  return replyFrom(numbersIn(reply, amountFor(limits)), limits);
}

/** Reads what the scripts said about a call by these limits, whose numbers begin at `start`. */
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
  return { passed: passed === 1, epoch, stamp: time + newest, layers };
}

/** Reads the numbers of a text, parted by spaces. @throws StoreError where they are not as many whole numbers. */
export function numbersIn(reply: unknown, amount: number): readonly number[] {
  const numbers = String(reply).split(" ").map(Number);
  if (numbers.length === amount && numbers.every(Number.isSafeInteger)) return numbers;
  throw unreadable(reply);
}

/** Reads one number: clients hand it over as a number, a big integer or a text. @throws StoreError where it is none. */
export function numberIn(reply: unknown): number {
  const number = typeof reply === "number" ? reply : Number(reply);
  if (reply === null || reply === "" || !Number.isSafeInteger(number)) throw unreadable(reply);
  return number;
}

/** The script says -1 for never. */
function orNever(ms: number): number {
  return ms < 0 ? Infinity : ms;
}

function unreadable(reply: unknown): StoreError {
  return new StoreError(`Redis replied what the script cannot have said: ${String(reply).slice(0, 60)}`);
}
