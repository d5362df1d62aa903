import type { EventLoopUtilization } from "node:perf_hooks";
import { performance } from "node:perf_hooks";
import type { Band, Signal } from "./signal.js";
import { movedBand } from "./signal.js";

/**
 * The fraction of the time since the last reading in which the event loop was busy, from 0 to 1. It shows **saturation**, also by
 * many small tasks, which do not delay the event loop.
 *
 * Waiting in a synchronous call counts as busy. In a throttled container the value is high at little processor time.
 *
 * @param band - fractions from 0 to 1. @default { low: 0.95, high: 0.995 }
 */
export function eventLoopUtilization(band?: Partial<Band>): Signal {
  let before: EventLoopUtilization | undefined;
  return {
    name: "event loop utilization",
    ...movedBand("eventLoopUtilization", band, { low: 0.95, high: 0.995 }),
    // A loop without a pause reads 1 each time.
    mayRepeat: true,
    start() {
      before = performance.eventLoopUtilization();
    },
    read() {
      const now = performance.eventLoopUtilization();
      // The difference of two readings, because a single one is the average since the process began.
      const { idle, active, utilization } = performance.eventLoopUtilization(now, before);
      before = now;
      return idle + active > 0 ? utilization : NaN;
    },
  };
}
