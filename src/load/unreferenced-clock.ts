import { performance } from "node:perf_hooks";
import { clearTimeout, setTimeout } from "node:timers";
import type { Clock } from "../core/clock.js";

/** The clock of a process, whose wake-ups keep no process alive. */
export const unreferencedClock: Required<Clock> = {
  now: () => performance.now(),
  wake(afterMs, run) {
    const timer = setTimeout(run, afterMs);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
