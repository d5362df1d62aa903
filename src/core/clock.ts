import { argumentError, memberOf } from "./validate.js";

// Declared, and not taken from a library of types: `core` has no other globals, and these are everywhere.
declare const performance: { now(): number };
declare function setTimeout(run: () => void, afterMs: number): unknown;
declare function clearTimeout(timer: unknown): void;

/** The longest that `setTimeout` waits, 24.8 days; given more it does not wait at all. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What time it is, and a way to be woken: the seam through which tests move time by hand. */
export interface Clock {
  /**
   * The present in milliseconds, from any fixed origin. Fractions are allowed. A step backwards counts as no time passing.
   */
  now(): number;
  /**
   * Runs `run` once, `afterMs` milliseconds from now, unless the function it returns is called first. Only `acquire` needs
   * it.
   */
  wake?(afterMs: number, run: () => void): () => void;
}

/**
 * The clock of a process: monotonic, so that an NTP step neither opens a window nor freezes one.
 *
 * `performance` is read through the global at every call, so that fake timers installed later are obeyed, and so are
 * those uninstalled again.
 */
export const monotonicClock: Required<Clock> = {
  now: () => performance.now(),
  wake(afterMs, run) {
    let timer: unknown;
    const sleep = (leftMs: number): void => {
      const stretch = Math.min(leftMs, LONGEST_TIMER_MS);
      timer = setTimeout(() => {
        if (leftMs > stretch) sleep(leftMs - stretch);
        else run();
      }, stretch);
    };
    sleep(afterMs);
    return () => {
      clearTimeout(timer);
    };
  },
};

/** Captured at import: fake timers that are installed later, and never moved, must stop no queue. */
const timerAtImport = setTimeout;

/** Resolves in a later turn of the event loop: timers and I/O that are due come first. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    timerAtImport(resolve, 0);
    // The captured one may be a fake that has been removed since.
    if (setTimeout !== timerAtImport) setTimeout(resolve, 0);
  });
}

/**
 * Checks that `value` is a clock and returns it.
 *
 * @throws TypeError when it has no `now` function.
 */
export function clockFrom(name: string, value: unknown): Clock {
  if (typeof memberOf(value, "now") !== "function") {
    throw new TypeError(argumentError(name, "a clock with a `now` function", value));
  }
  return value as Clock;
}
