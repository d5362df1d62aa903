import { expected } from "./expected.js";

// Declared, and not taken from a library of types: `core` has no other global, and this one is everywhere.
declare const performance: { now(): number };

/** What time it is, and a way to be woken: the seam through which tests move time by hand. */
export interface Clock {
  /**
   * The present in milliseconds, from any fixed origin. Fractions are allowed. A step backwards counts as no time passing.
   */
  now(): number;
  /**
   * Runs `run` once, `afterMs` milliseconds from now, unless the function it returns is called first. Only waiting for a
   * turn needs it.
   */
  wake?(afterMs: number, run: () => void): () => void;
}

/**
 * The clock of a process: monotonic, so that an NTP step neither opens a window nor freezes one.
 *
 * `performance` is read through the global at every call, so that fake timers installed later are obeyed, and so are
 * those uninstalled again.
 */
export const monotonicClock: Clock = {
  now: () => performance.now(),
};

/**
 * Checks that `value` is a clock and returns it.
 *
 * @throws TypeError when it has no `now` function.
 */
export function clockFrom(name: string, value: unknown): Clock {
  if (typeof (value as Clock | null | undefined)?.now !== "function") {
    throw new TypeError(expected(name, "a clock with a `now` function", value));
  }
  return value as Clock;
}
