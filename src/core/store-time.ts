import type { Clock } from "./clock.js";
import { StoreError } from "./errors.js";
import { expected } from "./expected.js";

/** The largest reading that leaves room for an offset and a period below 2^53. */
const LATEST_MS = 2 ** 52;

/**
 * A clock's readings as a store uses them: whole milliseconds that never run backwards.
 *
 * A reading that would go back raises an offset instead, so a backward step counts as no time passing: it revives no call
 * and freezes nobody. The offset belongs to the clock and not to a log: clamping to a key's newest stamp would admit what
 * the window forbids once a refund or a sweep has taken that stamp away.
 */
export class StoreTime {
  readonly #clock: Clock;
  #offset = 0;

  /** The instant calls are judged at: the last reading, rounded down. */
  now: number = -Infinity;

  /**
   * The instant calls are recorded at: the last reading, rounded up, so that no window of real time holds a call too
   * many and capacity returns at most 1 ms late. It is `now` or one more.
   */
  stamp: number = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Reads the clock once and moves `now` and `stamp` to it.
   *
   * @throws StoreError when the clock answers anything but a finite number.
   */
  read(): void {
    const reading: unknown = this.#clock.now();
    if (typeof reading !== "number" || !(Math.abs(reading) <= LATEST_MS)) {
      throw new StoreError(expected("clock.now()", "a finite number of milliseconds", reading));
    }
    const whole = Math.floor(reading);
    if (whole + this.#offset < this.now) this.#offset = this.now - whole;
    this.now = whole + this.#offset;
    // A step back within one millisecond leaves `now` where it is; a log must still not get a stamp below its newest.
    this.stamp = Math.max(this.stamp, Math.ceil(reading) + this.#offset);
  }
}
