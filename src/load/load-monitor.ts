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

/** Where a monitor stands that does not run, or has not ticked yet: limits are in full force. */
const UNWATCHED: LoadState = Object.freeze({ factor: 1, pressure: 0, used: undefined, signals: [] });

/**
 * Watches how busy this process is, and makes a factor of it that limiters scale their limits by.
 *
 * ```
 *    signals ──▶ pressure ──▶ smoothed ──▶ above 1: factor = max(floor, 0.5 ** (elapsed / halving) * min(factor, used))
 *       ▲        the worst    over 60 ms   0 to 1:  factor stays
 *       │                                  below 0: factor = min(1, factor + interval / recovery)
 *    process ◀── calls ◀── limiters: maxCalls = baseMaxCalls * factor ──▶ used
 * ```
 *
 * A pressure is where a reading stands in its signal's band: 0 at `low`, 1 at `high`. A factor is cut by a share and grows by
 * a sum, as TCP's window does (AIMD, Chiu and Jain 1989), with a band between the two in which it rests. It is cut from what
 * is `used`: the highest share of its base limit that any key had live at a decision since the last tick.
 *
 * It starts with the first limiter that listens, or by {@link start}; one serves many limiters. Its timer keeps no process
 * alive. It sees this process, and nothing beyond: a slow database leaves the event loop idle.
 *
 * @example
 * const load = new LoadMonitor({ onSample: ({ factor }) => gauge.set(factor) });
 * const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 500, period: "1s", load });
 */
export class LoadMonitor {
  readonly #plan: MonitorPlan;
  readonly #listeners = new Set<(factor: number) => void>();
  #gauges: readonly SignalReader[] = [];
  #state = UNWATCHED;
  #used: number | undefined;
  #tickedAt = 0;
  /** Calls off the next tick; undefined while it does not run. */
  #callOff: (() => void) | undefined;
  #wasStopped = false;
  #hasWarned = false;

  /** The time from one tick to the next, in milliseconds. */
  readonly intervalMs: number;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: LoadMonitorOptions = {}) {
    this.#plan = monitorPlan(options);
    this.intervalMs = this.#plan.intervalMs;
  }

  /** The share of their base limits that limiters enforce now: from the floor to 1; 1 while it does not run. */
  get factor(): number {
    return this.#state.factor;
  }

  /** What it saw at the last tick, and made of it. */
  get state(): LoadState {
    return this.#state;
  }

  /** Starts to watch, afresh; does nothing where it runs already. */
  start(): void {
    this.#wasStopped = false;
    if (this.#callOff !== undefined) return;
    this.#used = undefined;
    this.#tickedAt = this.#plan.clock.now();
    this.#gauges = this.#plan.signals.map((signal) => new SignalReader(signal));
    for (const gauge of this.#gauges) gauge.start();
    this.#sleep();
  }

  /** Stops, and sets the factor to 1: a limit that nobody watches must not stay reduced for good. */
  stop(): void {
    this.#wasStopped = true;
    if (this.#callOff === undefined) return;
    this.#callOff();
    this.#callOff = undefined;
    for (const gauge of this.#gauges) gauge.stop();
    this.#enter(UNWATCHED);
  }

  /** {@link stop}, for `using`. */
  [Symbol.dispose](): void {
    this.stop();
  }

  /**
   * Calls `listener` with each new factor, and starts to watch, unless it was stopped: then {@link start} does.
   *
   * @returns a function that ends that.
   */
  listen(listener: (factor: number) => void): () => void {
    this.#listeners.add(listener);
    if (!this.#wasStopped) this.start();
    return () => void this.#listeners.delete(listener);
  }

  /** Hears how much of its base limit a key has live, from 0 to 1: limiters tell it after each decision. NaN is no report. */
  report(used: number): void {
    if (used >= (this.#used ?? 0)) this.#used = used;
  }

  #sleep(): void {
    const callOff = this.#plan.clock.wake(this.intervalMs, () => {
      this.#tick();
      // Whoever heard of the tick may have stopped it, and started it again.
      if (this.#callOff === callOff) this.#sleep();
    });
    this.#callOff = callOff;
  }

  #tick(): void {
    const signals = this.#gauges.map((gauge) => gauge.read());
    const used = this.#used;
    const now = this.#plan.clock.now();
    const elapsedMs = now - this.#tickedAt;
    this.#used = undefined;
    this.#tickedAt = now;
    const worst = signals.reduce((most, reading) => Math.max(most, reading.pressure ?? -Infinity), -Infinity);
    // A signal that is not known may be the one that presses: others can cut without it, and nothing grows.
    const isKnown = signals.every((reading) => reading.pressure !== undefined);
    const next = isKnown || worst > 1 ? step(this.#state, worst, used, elapsedMs, this.#plan.law) : this.#state;
    this.#enter({ ...next, used, signals });
    const { onSample } = this.#plan;
    this.#tell(() => onSample?.(this.#state));
  }

  #enter(state: LoadState): void {
    const isMoved = state.factor !== this.#state.factor;
    this.#state = Object.freeze(state);
    if (!isMoved) return;
    for (const listener of [...this.#listeners]) this.#tell(() => listener(state.factor));
  }

  /** A listener that fails fails at every tick: it is told once, and the monitor goes on. */
  #tell(listener: () => unknown): void {
    callListener(listener, (error) => {
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      warn("A listener of a LoadMonitor failed; the monitor goes on", error);
    });
  }
}
