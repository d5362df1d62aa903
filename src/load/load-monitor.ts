import { callListener, warn } from "../core/callbacks.js";
import { step } from "./aimd-controller.js";
import { SignalReader } from "./signal-reader.js";
import type { LoadState } from "./load-state.js";
import type { LoadMonitorOptions, MonitorPlan } from "./monitor-options.js";
import { monitorPlan } from "./monitor-options.js";

declare global {
  interface SymbolConstructor {
    /** As TypeScript 5.2 and `@types/node` declare it: older ones do not know it. */
    readonly dispose: unique symbol;
  }
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
      warn("A listener of a LoadMonitor failed; the monitor goes on", error);
    });
  }
}
