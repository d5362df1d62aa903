import { warn } from "../core/callbacks.js";
import { pressureOf } from "./aimd-controller.js";
import type { Signal } from "./signal.js";

/** The reading of one signal at a tick. */
export interface Reading {
  /** The name of the signal. */
  readonly name: string;
  /** The value in the unit of the signal; NaN if there was none. */
  readonly value: number;
  /** Its position in the band of the signal: 0 at `low`, 1 at `high`, from -1 to 2; undefined for an unreliable reading. */
  readonly pressure: number | undefined;
}

/** After so many equal readings in a row a sensor is considered stuck. */
const STUCK_AFTER = 30;

/** Reads one signal. It detects unreliable readings, and warns of them once. */
export class SignalReader {
  readonly #signal: Signal;
  #latest = NaN;
  #repeats = 0;
  #hasWarned = false;

  constructor(signal: Signal) {
    this.#signal = signal;
  }

  start(): void {
    try {
      this.#signal.start?.();
    } catch (error) {
      this.#warnOnce("could not be started", error);
    }
  }

  stop(): void {
    try {
      this.#signal.stop?.();
    } catch (error) {
      this.#warnOnce("could not be stopped", error);
    }
  }

  read(): Reading {
    const { name, low, high, mayRepeat } = this.#signal;
    let value = NaN;
    let failure: unknown;
    try {
      value = this.#signal.read();
    } catch (error) {
      failure = error;
    }
    this.#repeats = value === this.#latest ? this.#repeats + 1 : 1;
    this.#latest = value;
    const isStuck = mayRepeat !== true && value >= low && this.#repeats >= STUCK_AFTER;
    if (isStuck) this.#warnOnce(`has read the same ${this.#repeats} times, and seems to be stuck`, value);
    else if (!Number.isFinite(value)) this.#warnOnce("has no reading", failure ?? value);
    else return { name, value, pressure: pressureOf(value, low, high) };
    return { name, value, pressure: undefined };
  }

  /** Once for each run, because a broken sensor fails at every tick. */
  #warnOnce(what: string, why: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    warn(`The signal "${this.#signal.name}" ${what}; limits that follow it hold`, why);
  }
}
