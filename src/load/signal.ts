import { argumentError, parseOptions, memberOf, assertOptionalFunction } from "../core/validate.js";

/** Where a reading is as it should be. */
export interface Band {
  /** Below it the limits grow. */
  readonly low: number;
  /** Above it the limits shrink. Between the two they hold. */
  readonly high: number;
}

/**
 * One thing that a `LoadMonitor` watches: a figure that rises with the load, and the band in which it is as it should be.
 *
 * Those of this entry point watch the process. One of your own watches what they cannot see, the pool of a database:
 *
 * @example
 * const pool: Signal = { name: "db pool", low: 0.7, high: 0.9, mayRepeat: true, read: () => busy() / size };
 */
export interface Signal extends Band {
  /** What it is called in `state` and in warnings. */
  readonly name: string;
  /**
   * The figure now; NaN where there is none: limits do not grow then. Called once a tick, so it must be quick. What it throws
   * counts as NaN.
   */
  readonly read: () => number;
  /** Called before the first reading. */
  readonly start?: (() => void) | undefined;
  /** Called after the last. */
  readonly stop?: (() => void) | undefined;
  /**
   * Whether the very same reading may come again and again, as that of a full pool does. Of others thirty equal readings in
   * a row, and not below `low`, count as those of a sensor that is stuck.
   * @default false
   */
  readonly mayRepeat?: boolean | undefined;
}

/** Checks a band and returns it. @throws TypeError for what is not a number, RangeError for one that is empty or not finite. */
export function bandFrom(name: string, { low, high }: { low?: unknown; high?: unknown }): Band {
  if (typeof low !== "number") throw new TypeError(argumentError(`${name}.low`, "a number", low));
  if (typeof high !== "number") throw new TypeError(argumentError(`${name}.high`, "a number", high));
  if (!Number.isFinite(low)) throw new RangeError(argumentError(`${name}.low`, "a finite number", low));
  if (!(high > low && high < Infinity)) {
    throw new RangeError(argumentError(`${name}.high`, `a finite number above \`low\`, ${low}`, high));
  }
  return { low, high };
}

/** The band of a built-in signal, whose author may move either end. @throws as {@link bandFrom} does, and for other options. */
export function movedBand(name: string, band: Partial<Band> | undefined, usual: Band): Band {
  const { low = usual.low, high = usual.high } = parseOptions(name, band ?? {}, ["low", "high"]);
  return bandFrom(name, { low, high });
}

/**
 * Checks what is to be watched and returns a copy of the list.
 *
 * @throws TypeError or RangeError for a list that is none or empty, or a part that is missing, of the wrong type or range.
 */
export function signalsFrom(value: unknown): readonly Signal[] {
  if (!Array.isArray(value)) throw new TypeError(argumentError("signals", "an array of signals", value));
  if (value.length === 0) throw new RangeError(argumentError("signals", "an array of at least one signal", "[]"));
  return value.map((signal: Partial<Signal> | null | undefined, at) => {
    const label = `signals[${at}]`;
    const [name, read, start, stop] = ["name", "read", "start", "stop"].map((member) => memberOf(signal, member));
    if (typeof read !== "function" || typeof name !== "string") {
      throw new TypeError(argumentError(label, "a signal with a `name` and a `read` function", signal));
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
