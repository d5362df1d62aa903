import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import { cpuUsage as timeSpent } from "node:process";
import { processorQuota } from "./cgroup-limits.js";
import type { Band, Signal } from "./signal.js";
import { movedBand } from "./signal.js";

/**
 * The processor time that this process has used since the last reading, including its worker threads, as a fraction of what it may
 * use: the quota of its control group, or all processors. For services that use threads, or run in a container with a quota.
 *
 * A service with one event loop never uses much more than one processor: use `eventLoopUtilization` for it.
 *
 * @param band - fractions; with a quota that allows bursts the reading may exceed 1. @default { low: 0.85, high: 0.95 }
 */
export function cpuUsage(band?: Partial<Band>): Signal {
  let available = NaN;
  let beforeMs = NaN;
  let before = { user: 0, system: 0 };
  return {
    name: "cpu usage",
    ...movedBand("cpuUsage", band, { low: 0.85, high: 0.95 }),
    // The clock of process times may be too coarse to differ between two ticks.
    mayRepeat: true,
    start() {
      available = Math.min(processorQuota(), availableParallelism());
      beforeMs = performance.now();
      before = timeSpent();
    },
    read() {
      const nowMs = performance.now();
      const now = timeSpent();
      const usedMs = (now.user - before.user + now.system - before.system) / 1000;
      const share = usedMs / (nowMs - beforeMs) / available;
      beforeMs = nowMs;
      before = now;
      return share;
    },
  };
}
