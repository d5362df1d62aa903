import { warn } from "../core/callbacks.js";
import { pressureOf } from "./aimd-controller.js";
import type { Signal } from "./signal.js";

/** What one signal read at a tick. */
export interface Reading {
  /** What the signal is called. */
  readonly name: string;
  /** The figure, in the signal's own unit; NaN where there was none. */
  readonly value: number;
  /** Where it stands in the signal's band: 0 at `low`, 1 at `high`, from -1 to 2; undefined for a reading not to be trusted. */
  readonly pressure: number | undefined;
}

/** So many equal readings in a row are those of a sensor that is stuck. */
const STUCK_AFTER = 30;

/** Reads one signal, and knows a reading that is not to be trusted: it says so, once. */
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
      this.#distrust("could not be started", error);
    }
  }

  stop(): void {
    try {
      this.#signal.stop?.();
    } catch (error) {
      this.#distrust("could not be stopped", error);
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
    if (isStuck) this.#distrust(`has read the same ${this.#repeats} times, and seems to be stuck`, value);
    else if (!Number.isFinite(value)) this.#distrust("has no reading", failure ?? value);
    else return { name, value, pressure: pressureOf(value, low, high) };
    return { name, value, pressure: undefined };
  }

  /** Once for each run, because a sensor that is broken is so ten times a second. */
  #distrust(what: string, why: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    warn(`The signal "${this.#signal.name}" ${what}; limits that follow it hold`, why);
  }
}
