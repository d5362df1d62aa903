import { warn } from "../core/callbacks.js";
import { rangeError, typeError, parseOptions, memberOf, assertOptionalFunction } from "../core/validate.js";
import { pressureOf } from "./aimd-controller.js";

/** The range of readings in which limits do not change. */
export interface Band {
  /** Below this value the limits grow. */
  readonly low: number;
  /** Above this value the limits shrink. */
  readonly high: number;
}

/**
 * A value that rises with the load, with its band, for a `LoadMonitor` to read.
 *
 * The signals of this entry point measure the process. Others can measure anything else, such as the pool of a database:
 *
 * @example
 * const pool: Signal = { name: "db pool", low: 0.7, high: 0.9, mayRepeat: true, read: () => busy() / size };
 */
export interface Signal extends Band {
  /** Its name in `state` and in warnings. */
  readonly name: string;
  /**
   * Returns the current value; NaN if there is none: limits do not grow then. Called once a tick, so it must be fast. An exception
   * counts as NaN.
   */
  readonly read: () => number;
  /** Called before the first reading. */
  readonly start?: (() => void) | undefined;
  /** Called after the last reading. */
  readonly stop?: (() => void) | undefined;
  /**
   * Whether equal readings in a row are normal, as for a full pool. Otherwise, after thirty equal readings in a row that are not
   * below `low`, the sensor counts as stuck.
   * @default false
   */
  readonly mayRepeat?: boolean | undefined;
}

/** Checks a band and returns it. @throws TypeError for what is not a number, RangeError for one that is empty or not finite. */
function bandFrom(name: string, { low, high }: { low?: unknown; high?: unknown }): Band {
  if (typeof low !== "number") throw typeError(`${name}.low`, "a number", low);
  if (typeof high !== "number") throw typeError(`${name}.high`, "a number", high);
  if (!Number.isFinite(low)) throw rangeError(`${name}.low`, "a finite number", low);
  if (!(high > low && high < Infinity)) {
    throw rangeError(`${name}.high`, `a finite number above \`low\`, ${low}`, high);
  }
  return { low, high };
}

/** The band of a built-in signal, either end of which can be an option. @throws as {@link bandFrom} does, and for other options. */
export function movedBand(name: string, band: Partial<Band> | undefined, defaults: Band): Band {
  const { low = defaults.low, high = defaults.high } = parseOptions(name, band ?? {}, ["low", "high"]);
  return bandFrom(name, { low, high });
}

/**
 * Checks a list of signals and returns a copy of it.
 *
 * @throws TypeError or RangeError if it is not a list, is empty, or has a signal with a missing or invalid property.
 */
export function signalsFrom(value: unknown): readonly Signal[] {
  if (!Array.isArray(value)) throw typeError("signals", "an array of signals", value);
  if (value.length === 0) throw rangeError("signals", "an array of at least one signal", "[]");
  return value.map((signal: Partial<Signal> | null | undefined, at) => {
    const label = `signals[${at}]`;
    const [name, read, start, stop] = ["name", "read", "start", "stop"].map((member) => memberOf(signal, member));
    if (typeof read !== "function" || typeof name !== "string") {
      throw typeError(label, "a signal with a `name` and a `read` function", signal);
    }
    const { low, high } = bandFrom(label, signal as Signal);
    assertOptionalFunction(`${label}.start`, start);
    assertOptionalFunction(`${label}.stop`, stop);
    return {
      ...{ name, low, high, mayRepeat: memberOf(signal, "mayRepeat") === true },
      read: () => (signal as Signal).read(),
      start: start === undefined ? undefined : () => (signal as Signal).start?.(),
      stop: stop === undefined ? undefined : () => (signal as Signal).stop?.(),
    };
  });
}

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
    warn("SLUICEGATE_LOAD_FAILED", `The signal "${this.#signal.name}" ${what}; limits that follow it hold`, why);
  }
}
