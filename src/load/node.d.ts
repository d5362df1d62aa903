// The part of Node that this folder uses. With `@types/node`, every file of `src` could use the globals of Node; the tests
// compile the same files against the real types.

declare module "node:perf_hooks" {
  export interface EventLoopUtilization {
    readonly idle: number;
    readonly active: number;
    readonly utilization: number;
  }
  export const performance: {
    now(): number;
    eventLoopUtilization(now?: EventLoopUtilization, before?: EventLoopUtilization): EventLoopUtilization;
  };
  export interface IntervalHistogram {
    readonly count: number;
    readonly max: number;
    percentile(percentile: number): number;
    reset(): void;
    enable(): boolean;
    disable(): boolean;
  }
  export function monitorEventLoopDelay(options: { resolution: number }): IntervalHistogram;
  export class PerformanceObserver {
    constructor(callback: (list: { getEntries(): object[] }) => void);
    observe(options: { entryTypes: readonly "gc"[] }): void;
    disconnect(): void;
  }
  export const constants: { readonly NODE_PERFORMANCE_GC_MAJOR: number };
}

declare module "node:fs" {
  export function readFileSync(path: string, encoding: "utf8"): string;
}

declare module "node:os" {
  export function availableParallelism(): number;
  export function totalmem(): number;
}

declare module "node:process" {
  export function cpuUsage(before?: { user: number; system: number }): { user: number; system: number };
  export function constrainedMemory(): number;
}

declare module "node:v8" {
  export function getHeapStatistics(): { heap_size_limit: number; used_heap_size: number };
}

declare module "node:timers" {
  export function setTimeout(run: () => void, afterMs: number): { unref(): void };
  export function clearTimeout(timer: { unref(): void }): void;
}
