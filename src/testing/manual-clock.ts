import type { Clock } from "../core/clock.js";
import { type Duration, parseDuration } from "../core/duration.js";
import { rangeError, typeError } from "../core/validate.js";

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/**
 * A clock that moves only when a test moves it, to the millisecond, so that tests of limits do not wait.
 *
 * @example
 * const clock = new ManualClock();
 * const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", clock });
 * await limiter.isAllowed("ada"); // true
 * await limiter.isAllowed("ada"); // false
 * clock.advance("1m");
 * await limiter.isAllowed("ada"); // true
 */
export class ManualClock implements Clock {
  #nowMs: number;
  #timers: Timer[] = [];

  /**
   * @param startMs - the first time of the clock, in milliseconds.
   * @throws TypeError if it is not a number, RangeError if it is not finite.
   */
  constructor(startMs: number = 0) {
    this.#nowMs = instant("startMs", startMs);
  }

  /** The time of the clock, in milliseconds. */
  now(): number {
    return this.#nowMs;
  }

  /**
   * Moves the clock forward by a duration with its unit, and runs the timers that are due on the way, in order, each at its
   * instant.
   *
   * @throws TypeError if it is a number, which has no unit; RangeError if it is not a duration.
   */
  advance(duration: Duration): void {
    this.set(this.#nowMs + parseDuration("duration", duration, 0));
  }

  /**
   * Moves the clock to an instant in milliseconds; forward as {@link advance} does, or backward without running timers. For a
   * limiter no time passes then. If a timer moves the clock further forward, it stays there.
   *
   * @throws TypeError if it is not a number, RangeError if it is not finite.
   */
  set(ms: number): void {
    const target = instant("ms", ms);
    if (target < this.#nowMs) {
      this.#nowMs = target;
      return;
    }
    for (let timer = this.#nextUpTo(target); timer !== undefined; timer = this.#nextUpTo(target)) {
      this.#cancel(timer);
      this.#nowMs = timer.dueMs;
      timer.run();
    }
    this.#nowMs = Math.max(this.#nowMs, target);
  }

  /** Calls `run` once, when the clock has moved forward by `afterMs`. The returned function cancels that. */
  wake(afterMs: number, run: () => void): () => void {
    const timer = { dueMs: this.#nowMs + instant("afterMs", afterMs, 0), run };
    this.#timers.push(timer);
    return () => {
      this.#cancel(timer);
    };
  }

  /** The earliest timer that is due by `target`; of several at one instant the one that was set first. */
  #nextUpTo(target: number): Timer | undefined {
    let next: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.dueMs <= target && (next === undefined || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }

  #cancel(timer: Timer): void {
    this.#timers = this.#timers.filter((other) => other !== timer);
  }
}

function instant(name: string, value: unknown, least: number = -Number.MAX_VALUE): number {
  const rule = `a finite${least === 0 ? ", non-negative" : ""} number of milliseconds`;
  if (typeof value !== "number") throw typeError(name, rule, value);
  if (!(value >= least && value <= Number.MAX_VALUE)) throw rangeError(name, rule, value);
  return value;
}
