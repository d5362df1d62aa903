export { cpuUsage } from "./cpu-usage.js";
export type { EventLoopDelayOptions } from "./event-loop.js";
export { eventLoopDelay, eventLoopUtilization } from "./event-loop.js";
export { heapUsage } from "./heap-usage.js";
export type { LoadMonitorOptions, LoadState } from "./load-monitor.js";
export { LoadMonitor } from "./load-monitor.js";
export type { Band, Reading, Signal } from "./signal.js";
