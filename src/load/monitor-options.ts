import type { Clock } from "../core/clock.js";
import { clockFrom } from "../core/clock.js";
import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import { argumentError, assertFraction, assertOptionalFunction, parseOptions } from "../core/validate.js";
import type { AimdController } from "./aimd-controller.js";
import { aimdController } from "./aimd-controller.js";
import { eventLoopDelay } from "./event-loop-delay.js";
import { eventLoopUtilization } from "./event-loop-utilization.js";
import type { LoadState } from "./load-state.js";
import type { Signal } from "./signal.js";
import { signalsFrom } from "./signal.js";
import { performance } from "node:perf_hooks";
import { clearTimeout, setTimeout } from "node:timers";

/** Options of a `LoadMonitor`. */
export interface LoadMonitorOptions {
  /** The time from one tick to the next. From 20 ms to 1 minute. @default "25ms" */
  readonly interval?: Duration | undefined;
  /**
   * The least factor: above 0, up to 1. This fraction of the base limits is admitted whatever the load, because without calls the
   * monitor could not measure that the load has gone.
   * @default 0.1
   */
  readonly floor?: number | undefined;
  /**
   * The time in which steady cuts halve the factor. At least the interval. Large cuts are not safer: the pause after a cut, and the
   * burst that follows it, recur at every period.
   * @default "1s"
   */
  readonly halving?: Duration | undefined;
  /** The time in which the factor grows from 0 to 1 without pressure. At least the interval. @default "5s" */
  readonly recovery?: Duration | undefined;
  /**
   * The signals to read. The one with the highest pressure counts.
   * @default [eventLoopUtilization(), eventLoopDelay({ percentile: 99 }), eventLoopDelay({ percentile: 100 })]
   */
  readonly signals?: readonly Signal[] | undefined;
  /** Called with the state after each tick, for metrics. If it throws or rejects, there is one process warning. */
  readonly onSample?: ((state: LoadState) => unknown) | undefined;
  /** The clock of the ticks. @default a timer that does not keep the process alive */
  readonly clock?: Required<Clock> | undefined;
}

/** The options of a monitor, checked and converted. */
export interface MonitorPlan {
  readonly intervalMs: number;
  readonly controller: AimdController;
  readonly signals: readonly Signal[];
  readonly onSample: ((state: LoadState) => unknown) | undefined;
  readonly clock: Required<Clock>;
}

const OPTIONS = ["interval", "floor", "halving", "recovery", "signals", "onSample", "clock"];

/** Checks the options of a monitor. @throws TypeError for one that is unknown or of the wrong type, RangeError for one out of range. */
export function monitorPlan(options: LoadMonitorOptions): MonitorPlan {
  const checked = parseOptions("options", options, OPTIONS);
  const { interval = "25ms", floor = 0.1, halving = "1s", recovery = "5s", signals, onSample, clock } = checked;
  const intervalMs = parseDuration("interval", interval);
  if (intervalMs < 20 || intervalMs > 60_000) {
    throw new RangeError(argumentError("interval", "a duration from 20ms to 1m", interval));
  }
  const halvingMs = durationFrom("halving", halving, intervalMs);
  const recoveryMs = durationFrom("recovery", recovery, intervalMs);
  assertOptionalFunction("onSample", onSample);
  return {
    intervalMs,
    controller: aimdController(assertFraction("floor", floor, false), { intervalMs, halvingMs, recoveryMs }),
    signals: signalsFrom(signals ?? defaultSignals()),
    onSample,
    clock: clock === undefined ? unreferencedClock : wakingClock(clock),
  };
}

function defaultSignals(): Signal[] {
  return [eventLoopUtilization(), eventLoopDelay({ percentile: 99 }), eventLoopDelay({ percentile: 100 })];
}

function durationFrom(name: string, value: unknown, leastMs: number): number {
  const ms = parseDuration(name, value);
  if (ms < leastMs)
    throw new RangeError(argumentError(name, `a duration of at least the interval, ${leastMs}ms`, value));
  return ms;
}

function wakingClock(value: unknown): Required<Clock> {
  const clock = clockFrom("clock", value);
  if (typeof clock.wake === "function") return clock as Required<Clock>;
  throw new TypeError(argumentError("clock", "a clock with a `wake` function", value));
}

/** The clock of the process, whose timers do not keep it alive. */
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
