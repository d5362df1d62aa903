import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { performance } from "node:perf_hooks";
import { cpuUsage as timeSpent } from "node:process";
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

/** Reads a file as text; throws if it does not exist. */
export type ReadText = (path: string) => string;

const readText: ReadText = (path) => readFileSync(path, "utf8");

/**
 * The number of processors that the control group of this process may use, 0.5 for half of one; `Infinity` without a quota, and on
 * systems without control groups.
 *
 * It supports version 2 (`cpu.max`, in the group's own folder or, inside a container, at the root) and version 1.
 */
export function processorQuota(read: ReadText = readText): number {
  const [groupV2 = ""] = lines(read, "/proc/self/cgroup").flatMap((line) => /^0::(.*)$/.exec(line)?.slice(1) ?? []);
  for (const folder of [groupV2, ""]) {
    const [max = ""] = lines(read, `/sys/fs/cgroup${folder}/cpu.max`.replaceAll("//", "/"));
    const [quota, period] = max.split(" ");
    const processors = processorsOf(quota, period);
    if (processors < Infinity) return processors;
  }
  const [quota] = lines(read, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const [period] = lines(read, "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  return processorsOf(quota, period);
}

/** The quota as a number of processors; "max", -1 and a missing value mean no quota. */
function processorsOf(quota: string | undefined, period: string | undefined): number {
  const processors = Number(quota) / Number(period);
  return Number(quota) > 0 && processors > 0 ? processors : Infinity;
}

function lines(read: ReadText, path: string): string[] {
  try {
    return read(path).trim().split("\n");
  } catch {
    return [];
  }
}
