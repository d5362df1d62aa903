import { callListener, warn } from "../core/callbacks.js";
import type { Clock } from "../core/clock.js";
import { clockFrom } from "../core/clock.js";
import type { Duration } from "../core/duration.js";
import { parseDuration } from "../core/duration.js";
import { rangeError, typeError, assertFraction, assertOptionalFunction, parseOptions } from "../core/validate.js";
import type { AimdController } from "./aimd-controller.js";
import { aimdController, step } from "./aimd-controller.js";
import { eventLoopDelay, eventLoopUtilization } from "./event-loop.js";
import type { Reading, Signal } from "./signal.js";
import { SignalReader, signalsFrom } from "./signal.js";
import { performance } from "node:perf_hooks";
import { clearTimeout, setTimeout } from "node:timers";

declare global {
  interface SymbolConstructor {
    /** As TypeScript 5.2 and `@types/node` declare it: older ones do not know it. */
    readonly dispose: unique symbol;
  }
}

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

/** The state of a `LoadMonitor` after its last tick. */
export interface LoadState {
  /** The fraction of their base limits that limiters enforce now: from the floor to 1. */
  readonly factor: number;
  /**
   * The smoothed pressure: below 0 limits grow, between 0 and 1 they stay, above 1 they are cut, after which it is 0.5. At least
   * -1.
   */
  readonly pressure: number;
  /** The highest fraction of its base limit that any key had used since the tick before; undefined without calls. */
  readonly used: number | undefined;
  /** The reading of each signal. */
  readonly signals: readonly Reading[];
}

/** The state of a monitor that does not run, or has not ticked yet: limits are not reduced. */
const INITIAL: LoadState = Object.freeze({ factor: 1, pressure: 0, used: undefined, signals: [] });

/**
 * Measures the load of this process, and computes a factor by which limiters scale their limits.
 *
 * ```
 *    signals ──▶ pressure ──▶ smoothed ──▶ above 1: factor = max(floor, 0.5 ** (elapsed / halving) * min(factor, used))
 *       ▲        the worst    over 60 ms   0 to 1:  factor stays
 *       │                                  below 0: factor = min(1, factor + interval / recovery)
 *    process ◀── calls ◀── limiters: maxCalls = baseMaxCalls * factor ──▶ used
 * ```
 *
 * A pressure is the position of a reading in the band of its signal: 0 at `low`, 1 at `high`. The factor decreases by
 * multiplication and increases by addition, as TCP's window does (AIMD, Chiu and Jain 1989), with a band between the two in which
 * it does not change. A cut starts from `used`: the highest fraction of its base limit that any key had used at a decision since the
 * last tick.
 *
 * It starts with the first limiter that listens, or by {@link start}. One monitor serves many limiters. Its timer does not keep the
 * process alive. It measures this process only: while a database is slow, the event loop is idle.
 *
 * @example
 * const load = new LoadMonitor({ onSample: ({ factor }) => gauge.set(factor) });
 * const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 500, period: "1s", load });
 */
export class LoadMonitor {
  readonly #plan: MonitorPlan;
  readonly #listeners = new Set<(factor: number) => void>();
  #readers: readonly SignalReader[] = [];
  #state = INITIAL;
  #used: number | undefined;
  #tickedAt = 0;
  /** Cancels the next tick; undefined while it does not run. */
  #cancelTick: (() => void) | undefined;
  #wasStopped = false;
  #hasWarned = false;

  /** The time from one tick to the next, in milliseconds. */
  readonly intervalMs: number;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: LoadMonitorOptions = {}) {
    this.#plan = monitorPlan(options);
    this.intervalMs = this.#plan.intervalMs;
  }

  /** The fraction of their base limits that limiters enforce now: from the floor to 1; 1 while it does not run. */
  get factor(): number {
    return this.#state.factor;
  }

  /** The readings of the last tick, and the factor that followed. */
  get state(): LoadState {
    return this.#state;
  }

  /** Starts from the initial state; does nothing while it runs. */
  start(): void {
    this.#wasStopped = false;
    if (this.#cancelTick !== undefined) return;
    this.#used = undefined;
    this.#tickedAt = this.#plan.clock.now();
    this.#readers = this.#plan.signals.map((signal) => new SignalReader(signal));
    for (const reader of this.#readers) reader.start();
    this.#sleep();
  }

  /** Stops, and sets the factor to 1, so that no limit stays reduced. */
  stop(): void {
    this.#wasStopped = true;
    if (this.#cancelTick === undefined) return;
    this.#cancelTick();
    this.#cancelTick = undefined;
    for (const reader of this.#readers) reader.stop();
    this.#enter(INITIAL);
  }

  /** {@link stop}, for `using`. */
  [Symbol.dispose](): void {
    this.stop();
  }

  /**
   * Calls `listener` with each new factor. Starts the monitor, unless {@link stop} was called.
   *
   * @returns a function that removes the listener.
   */
  listen(listener: (factor: number) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#wasStopped) this.start();
    return () => void this.#listeners.delete(listener);
  }

  /** Limiters call this after each decision with the used fraction of the base limit, from 0 to 1. NaN is ignored. */
  report(used: number): void {
    if (used >= (this.#used ?? 0)) this.#used = used;
  }

  #sleep(): void {
    const cancel = this.#plan.clock.wake(this.intervalMs, () => {
      this.#tick();
      // A listener may have stopped the monitor, and started it again.
      if (this.#cancelTick === cancel) this.#sleep();
    });
    this.#cancelTick = cancel;
  }

  #tick(): void {
    const signals = this.#readers.map((reader) => reader.read());
    const used = this.#used;
    const now = this.#plan.clock.now();
    const elapsedMs = now - this.#tickedAt;
    this.#used = undefined;
    this.#tickedAt = now;
    const worst = signals.reduce((most, reading) => Math.max(most, reading.pressure ?? -Infinity), -Infinity);
    // A signal without a reading may be the one under pressure: others can still cut the factor, but it does not grow.
    const isKnown = signals.every((reading) => reading.pressure !== undefined);
    const next = isKnown || worst > 1 ? step(this.#state, worst, used, elapsedMs, this.#plan.controller) : this.#state;
    this.#enter({ ...next, used, signals });
    const { onSample } = this.#plan;
    this.#call(() => onSample?.(this.#state));
  }

  #enter(state: LoadState): void {
    const isMoved = state.factor !== this.#state.factor;
    this.#state = Object.freeze(state);
    if (!isMoved) return;
    for (const listener of [...this.#listeners]) this.#call(() => listener(state.factor));
  }

  /** Warns once, because a listener that fails does so at every tick. */
  #call(listener: () => unknown): void {
    callListener(listener, (error) => {
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      warn("SLUICEGATE_CALLBACK_FAILED", "A listener of a LoadMonitor failed; the monitor goes on", error);
    });
  }
}

/** The options of a monitor, checked and converted. */
interface MonitorPlan {
  readonly intervalMs: number;
  readonly controller: AimdController;
  readonly signals: readonly Signal[];
  readonly onSample: ((state: LoadState) => unknown) | undefined;
  readonly clock: Required<Clock>;
}

const OPTIONS = ["interval", "floor", "halving", "recovery", "signals", "onSample", "clock"];

/** Checks the options of a monitor. @throws TypeError for one that is unknown or of the wrong type, RangeError for one out of range. */
function monitorPlan(options: LoadMonitorOptions): MonitorPlan {
  const checked = parseOptions("options", options, OPTIONS);
  const { interval = "25ms", floor = 0.1, halving = "1s", recovery = "5s", signals, onSample, clock } = checked;
  const intervalMs = parseDuration("interval", interval);
  if (intervalMs < 20 || intervalMs > 60_000) {
    throw rangeError("interval", "a duration from 20ms to 1m", interval);
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
  if (ms < leastMs) throw rangeError(name, `a duration of at least the interval, ${leastMs}ms`, value);
  return ms;
}

function wakingClock(value: unknown): Required<Clock> {
  const clock = clockFrom("clock", value);
  if (typeof clock.wake === "function") return clock as Required<Clock>;
  throw typeError("clock", "a clock with a `wake` function", value);
}

/** The clock of the process, whose timers do not keep it alive. */
const unreferencedClock: Required<Clock> = {
  now: () => performance.now(),
  wake(afterMs, run) {
    const timer = setTimeout(run, afterMs);
    timer.unref();
    return () => {
      clearTimeout(timer);
    };
  },
};
