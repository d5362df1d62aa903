import type { EventLoopUtilization, IntervalHistogram } from "node:perf_hooks";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { rangeError, parseOptions } from "../core/validate.js";
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

/** The interval of the timer that measures the delay. The histogram includes it, so it is subtracted. */
const RESOLUTION_MS = 10;
/** At 10 ms a probe the 99th percentile needs a second, and a tick is shorter. */
const SPAN_MS = 1000;
/** A percentile over a second changes slowly, and takes 25 us to compute. */
const COMPUTED_EVERY_MS = 100;
/** So many readings in a row may have no measurement. */
const SILENT_READS = 10;
const NS_PER_MS = 1e6;

/** Options of {@link eventLoopDelay}. */
export interface EventLoopDelayOptions extends Partial<Band> {
  /** 99 for the delay that 1% of the turns exceed in the last one to two seconds; 100 for the longest one since the last tick. */
  readonly percentile: 99 | 100;
}

/**
 * The delay of timers in **milliseconds**. It shows **blocking**: work during which nothing else runs, such as one long
 * computation, or a hundred requests that are handled in one turn.
 *
 * The longest delay since the last tick shows that a queue of requests grows; a single long turn has no lasting effect. The 99th
 * percentile over one to two seconds shows that a service blocks again and again. Neither shows saturation: a loop that is full
 * of tasks of a millisecond runs its timers on time.
 *
 * @param options - the band is in milliseconds. @default { low: 150, high: 200 } for 99, { low: 25, high: 50 } for 100
 * @throws TypeError or RangeError for an invalid percentile or band.
 */
export function eventLoopDelay(options: EventLoopDelayOptions): Signal {
  const { percentile, ...band } = parseOptions("eventLoopDelay", options, ["percentile", "low", "high"]);
  if ((percentile as unknown) !== 99 && percentile !== 100) {
    throw rangeError("percentile", "99 or 100", percentile);
  }
  const probe = percentile === 99 ? new RecentDelays() : new LongestDelay();
  return {
    name: `event loop delay ${percentile === 99 ? "p99" : "max"}`,
    ...movedBand("eventLoopDelay", band, percentile === 99 ? { low: 150, high: 200 } : { low: 25, high: 50 }),
    // In an idle process it is 0 each time. A stuck histogram is detected by its count.
    mayRepeat: true,
    start: () => {
      probe.start();
    },
    read: () => probe.read(),
    stop: () => {
      probe.stop();
    },
  };
}

/** The longest delay between two readings. */
class LongestDelay {
  #histogram: IntervalHistogram | undefined;
  #latest = 0;
  #probedAt = 0;
  #silentReads = 0;

  start(): void {
    this.#histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#histogram.enable();
    this.#latest = 0;
    this.#probedAt = performance.now();
    this.#silentReads = 0;
  }

  stop(): void {
    this.#histogram?.disable();
  }

  read(): number {
    if (this.#histogram === undefined) return NaN;
    const { count, max } = this.#histogram;
    const now = performance.now();
    this.#silentReads += 1;
    if (count > 0) {
      this.#silentReads = 0;
      this.#histogram.reset();
      this.#latest = lateness(max);
      this.#probedAt = now;
    }
    // While the loop is late, the timer of the histogram may run after that of the monitor, a few times, and a single turn may take
    // a second: the last reading stays valid then.
    const isMute = this.#silentReads > SILENT_READS && now - this.#probedAt > SPAN_MS;
    return isMute ? NaN : this.#latest;
  }
}

/** The 99th percentile of the delays of the last one to two seconds: of two histograms, each emptied when the other is full. */
class RecentDelays {
  #older: IntervalHistogram | undefined;
  #newer: IntervalHistogram | undefined;
  #swapAt = 0;
  #computeAt = 0;
  #counted = 0;
  #latest = 0;

  start(): void {
    this.#older = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#newer = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#older.enable();
    this.#newer.enable();
    this.#swapAt = performance.now() + SPAN_MS;
    this.#computeAt = 0;
    this.#counted = 0;
    this.#latest = 0;
  }

  stop(): void {
    this.#older?.disable();
    this.#newer?.disable();
  }

  read(): number {
    if (this.#older === undefined || this.#newer === undefined) return NaN;
    const now = performance.now();
    if (now < this.#computeAt) return this.#latest;
    this.#computeAt = now + COMPUTED_EVERY_MS;
    if (now >= this.#swapAt) {
      // No measurement in a second: the histogram does not run.
      if (this.#older.count === this.#counted) return (this.#latest = NaN);
      this.#counted = this.#newer.count;
      this.#older.reset();
      [this.#older, this.#newer] = [this.#newer, this.#older];
      this.#swapAt = now + SPAN_MS;
    }
    return (this.#latest = this.#older.count === 0 ? 0 : lateness(this.#older.percentile(99)));
  }
}

function lateness(ns: number): number {
  return Math.max(0, ns / NS_PER_MS - RESOLUTION_MS);
}
