import type { Clock } from "../core/clock.js";
import { type Duration, parseDuration } from "../core/duration.js";
import { argumentError } from "../core/validate.js";

interface Alarm {
  readonly dueMs: number;
  readonly run: () => void;
}

/**
 * A clock that stands still until it is moved: limits are tested in no time, and to the millisecond.
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
  #alarms: Alarm[] = [];

  /**
   * @param startMs - where the clock stands at first, in milliseconds.
   * @throws TypeError when it is not a number, RangeError when it is not finite.
   */
  constructor(startMs: number = 0) {
    this.#nowMs = instant("startMs", startMs);
  }

  /** Where the clock stands, in milliseconds. */
  now(): number {
    return this.#nowMs;
  }

  /**
   * Moves the clock on by a duration with its unit, and runs what was to be woken on the way, in order, each at its own
   * instant.
   *
   * @throws TypeError when it is a number: of what unit? RangeError when it is no duration.
   */
  advance(duration: Duration): void {
    this.set(this.#nowMs + parseDuration("duration", duration, 0));
  }

  /**
   * Moves the clock to an instant in milliseconds, forwards as {@link advance} does. Backwards it wakes nobody; a limiter
   * takes it as no time passing. Where somebody woken on the way moves it further, it stays there.
   *
   * @throws TypeError when it is not a number, RangeError when it is not finite.
   */
  set(ms: number): void {
    const target = instant("ms", ms);
    if (target < this.#nowMs) {
      this.#nowMs = target;
      return;
    }
    for (let alarm = this.#nextUpTo(target); alarm !== undefined; alarm = this.#nextUpTo(target)) {
      this.#cancel(alarm);
      this.#nowMs = alarm.dueMs;
      alarm.run();
    }
    this.#nowMs = Math.max(this.#nowMs, target);
  }

  /** Runs `run` once, when the clock has moved on by `afterMs`; the function it returns calls that off. */
  wake(afterMs: number, run: () => void): () => void {
    const alarm = { dueMs: this.#nowMs + instant("afterMs", afterMs, 0), run };
    this.#alarms.push(alarm);
    return () => {
      this.#cancel(alarm);
    };
  }

  /** The earliest alarm due by `target`; of several due at once the one set first. */
  #nextUpTo(target: number): Alarm | undefined {
    let next: Alarm | undefined;
    for (const alarm of this.#alarms) {
      if (alarm.dueMs <= target && (next === undefined || alarm.dueMs < next.dueMs)) next = alarm;
    }
    return next;
  }

  #cancel(alarm: Alarm): void {
    this.#alarms = this.#alarms.filter((other) => other !== alarm);
  }
}

function instant(name: string, value: unknown, least: number = -Number.MAX_VALUE): number {
  const rule = `a finite${least === 0 ? ", non-negative" : ""} number of milliseconds`;
  if (typeof value !== "number") throw new TypeError(argumentError(name, rule, value));
  if (!(value >= least && value <= Number.MAX_VALUE)) throw new RangeError(argumentError(name, rule, value));
  return value;
}
