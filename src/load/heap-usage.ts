import { totalmem } from "node:os";
import { constants, performance, PerformanceObserver } from "node:perf_hooks";
import { constrainedMemory } from "node:process";
import { getHeapStatistics } from "node:v8";
import type { Band, Signal } from "./signal.js";
import { movedBand } from "./signal.js";

/** A service without calls collects no garbage: after this time the size after its last collection is out of date. */
const FRESH_MS = 30_000;

/**
 * The used heap after a full collection, as a fraction of its limit: the smaller one of V8's limit and that of the control group.
 *
 * Measured after a collection, because before it most of the heap is garbage. The resident memory is not used, because it rarely
 * falls. After 30 seconds without a collection the reading is 0.
 *
 * @param band - fractions from 0 to 1. @default { low: 0.8, high: 0.9 }
 */
export function heapUsage(band?: Partial<Band>): Signal {
  let observer: PerformanceObserver | undefined;
  let left = 0;
  let collectedAt = -Infinity;
  return {
    name: "heap usage",
    ...movedBand("heapUsage", band, { low: 0.8, high: 0.9 }),
    // It changes only when the heap is collected.
    mayRepeat: true,
    start() {
      left = 0;
      observer = new PerformanceObserver((list) => {
        const isFull = list.getEntries().some((entry) => kindOf(entry) === constants.NODE_PERFORMANCE_GC_MAJOR);
        if (!isFull) return;
        left = getHeapStatistics().used_heap_size;
        collectedAt = performance.now();
      });
      observer.observe({ entryTypes: ["gc"] });
    },
    read: () => (performance.now() - collectedAt > FRESH_MS ? 0 : left / heapLimit(constrainedMemory(), totalmem())),
    stop() {
      observer?.disconnect();
    },
  };
}

/**
 * The bytes that the heap may grow to.
 *
 * @param constrained - the limit of the control group; without one it is 0, or 1.8e19, or whatever is above the machine's.
 */
export function heapLimit(constrained: number, total: number): number {
  const { heap_size_limit: limit } = getHeapStatistics();
  return constrained > 0 && constrained <= total ? Math.min(limit, constrained) : limit;
}

function kindOf(entry: object): unknown {
  return (entry as { detail?: { kind?: unknown } }).detail?.kind;
}
