import type { Clock } from "./clock.js";
import { StoreError } from "./errors.js";
import { expected } from "./expected.js";

/** Instants up to here, 71,000 years, leave room for any period below 2^53. */
const LATEST_MS = 2 ** 51;

/**
 * A clock's readings as a store uses them: whole milliseconds that never run backwards.
 *
 * A reading that goes back raises an offset instead, so a backward step counts as no time passing: it revives no call and
 * freezes nobody. The offset belongs to the clock and not to a log: clamping to a key's newest stamp would admit what the
 * window forbids once a refund or a sweep has taken that stamp away.
 */
export class StoreTime {
  readonly #clock: Clock;
  #reading = -Infinity;
  #offset = 0;
  #isAsking = false;

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
   * @throws StoreError when the clock fails, answers anything but a finite number, or is the one who calls.
   */
  read(): void {
    const reading = this.#read();
    // Whole milliseconds of the step and never more: a clock that trembles by less, around the full millisecond, would
    // otherwise gain one each time, and time would fly. What is left over is waited for, by the two `max` below.
    const offset = reading < this.#reading ? this.#offset + Math.floor(this.#reading - reading) : this.#offset;
    const now = Math.max(this.now, Math.floor(reading) + offset);
    if (!(now <= LATEST_MS)) throw new StoreError(expected("clock.now()", "an instant below 2^51 ms", reading));
    this.#reading = reading;
    this.#offset = offset;
    this.now = now;
    this.stamp = Math.max(this.stamp, Math.ceil(reading) + offset);
  }

  /**
   * Refuses a call that comes from within the clock. It is the only code of others that runs in the middle of a verb, which
   * would find the logs changed beneath it; so a store that is asked at once, and asks nobody else, needs no other lock.
   *
   * @throws StoreError while the clock is being read.
   */
  refuseItsClock(): void {
    if (this.#isAsking) throw new StoreError("The clock of a store called a limiter of that store");
  }

  #read(): number {
    this.refuseItsClock();
    let reading: unknown;
    this.#isAsking = true;
    try {
      reading = this.#clock.now();
    } catch (cause) {
      throw cause instanceof StoreError ? cause : new StoreError("The clock of a store failed", { cause });
    } finally {
      this.#isAsking = false;
    }
    if (typeof reading === "number" && Math.abs(reading) <= LATEST_MS) return reading;
    throw new StoreError(expected("clock.now()", "a finite number of milliseconds", reading));
  }
}
