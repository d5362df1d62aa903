import type { Clock } from "../core/clock.js";
import { monotonicClock } from "../core/clock.js";
import { StoreError } from "../core/errors.js";
import { argumentError } from "../core/validate.js";

// Declared here, so that this folder can use no other globals.
declare const performance: { now(): number };

/** Instants up to here, 71,000 years, leave room for any period below 2^53. */
const LATEST_MS = 2 ** 51;

/**
 * The readings of a clock as a store uses them: whole milliseconds that never go back.
 *
 * When the clock steps back, an offset grows instead, so no time passes: no expired call counts again, and no key waits
 * longer. The offset belongs to the clock and not to a log: time that was clamped to the newest timestamp of a key would admit
 * too many calls once a refund or the sweep has removed that timestamp.
 */
export class StoreTime {
  /** `undefined` for the monotonic clock, which is read without a call of foreign code. */
  readonly #clock: Clock | undefined;
  #isReading = false;
  #reading = -Infinity;
  /** The last reading, rounded up to a whole millisecond. */
  #roundedUp = NaN;
  #offset = 0;

  /** The instant at which calls are decided: the last reading, rounded down. */
  now: number = -Infinity;

  /**
   * The timestamp of calls that are admitted: the last reading, rounded up, so that no window of real time contains too many
   * calls, and capacity returns at most 1 ms late. It is `now` or one more.
   */
  timestamp: number = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock === monotonicClock ? undefined : clock;
  }

  /**
   * Reads the clock once, and moves `now` and `timestamp` to the reading.
   *
   * @throws StoreError if the clock throws, returns anything but a finite number, or is the caller.
   */
  read(): void {
    const reading = this.#clock === undefined ? performance.now() : this.#readFrom(this.#clock);
    // Between the same two whole milliseconds neither `now` nor `timestamp` changes, nor the offset.
    if (reading < this.#roundedUp && reading > this.#roundedUp - 1) this.#reading = reading;
    else this.#moveTo(reading);
  }

  /**
   * Rejects a call that comes from within the clock. The clock is the only foreign code that runs in the middle of a method of
   * the store: such a call would change logs that the method has read. A synchronous store needs no other lock.
   *
   * @throws StoreError while the clock is being read.
   */
  assertNotReading(): void {
    if (this.#isReading) throw new StoreError("The clock of a store called a limiter of that store");
  }

  #moveTo(reading: number): void {
    if (!(Math.abs(reading) <= LATEST_MS)) throw notAnInstant(reading);
    // Round the step back down. Rounding it up would add a millisecond for every sub-millisecond jitter, and store time would
    // run ahead. `Math.max` below absorbs the rest.
    const offset = reading < this.#reading ? this.#offset + Math.floor(this.#reading - reading) : this.#offset;
    const roundedUp = Math.ceil(reading);
    const now = Math.max(this.now, Math.floor(reading) + offset);
    if (now > LATEST_MS) throw new StoreError(argumentError("clock.now()", "an instant below 2^51 ms", reading));
    this.#reading = reading;
    this.#roundedUp = roundedUp;
    this.#offset = offset;
    this.now = now;
    this.timestamp = Math.max(this.timestamp, roundedUp + offset);
  }

  #readFrom(clock: Clock): number {
    this.assertNotReading();
    let reading: unknown;
    this.#isReading = true;
    try {
      reading = clock.now();
    } catch (cause) {
      throw cause instanceof StoreError ? cause : new StoreError("The clock of a store failed", { cause });
    } finally {
      this.#isReading = false;
    }
    if (typeof reading === "number") return reading;
    throw notAnInstant(reading);
  }
}

function notAnInstant(reading: unknown): StoreError {
  return new StoreError(argumentError("clock.now()", "a finite number of milliseconds", reading));
}
