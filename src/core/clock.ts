import { typeError, memberOf } from "./validate.js";

// Declared here, so that `core` can use no other globals: these exist on every runtime.
declare const performance: { now(): number };
declare function setTimeout(run: () => void, afterMs: number): unknown;
declare function clearTimeout(timer: unknown): void;

/** The longest delay of `setTimeout`, 24.8 days; a longer one fires at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** A source of time, and of timers. Tests replace it to control time. */
export interface Clock {
  /**
   * The current time in milliseconds since any fixed origin. Fractions are allowed. While it steps back, no time passes.
   */
  now(): number;
  /**
   * Calls `run` once, `afterMs` milliseconds from now. The returned function cancels that. Only `acquire` needs this method.
   */
  wake?(afterMs: number, run: () => void): () => void;
}

/**
 * The default clock. It is monotonic, so a correction of the system time neither empties a window nor prolongs one.
 *
 * Every call reads the global `performance`, so that fake timers work that are installed, or uninstalled, later.
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

/** Captured at import, so that fake timers that are installed later and never advanced do not stop a queue. */
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
 * @throws TypeError if it has no `now` function.
 */
export function clockFrom(name: string, value: unknown): Clock {
  if (typeof memberOf(value, "now") !== "function") {
    throw typeError(name, "a clock with a `now` function", value);
  }
  return value as Clock;
}
