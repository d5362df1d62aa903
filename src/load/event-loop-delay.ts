import type { IntervalHistogram } from "node:perf_hooks";
import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { argumentError, parseOptions } from "../core/validate.js";
import type { Band, Signal } from "./signal.js";
import { movedBand } from "./signal.js";

/** How often the loop is probed. What the histogram records includes it, so it is taken off. */
const RESOLUTION_MS = 10;
/** At 10 ms a probe the 99th percentile needs a second, and a tick is shorter. */
const SPAN_MS = 1000;
/** A percentile of a second changes slowly, and costs 25 us to ask for. */
const ASKED_EVERY_MS = 100;
/** So many readings in a row may find that no probe has run. */
const SILENT_READS = 10;
const NS_PER_MS = 1e6;

/** Options of {@link eventLoopDelay}. */
export interface EventLoopDelayOptions extends Partial<Band> {
  /** 99 for what a hundredth of the turns exceeds, in the last one to two seconds; 100 for the longest since the last tick. */
  readonly percentile: 99 | 100;
}

/**
 * By how many **milliseconds** timers are late, which tells of **blocking**: work that lets nothing else run, be it one long
 * computation or the hundred requests that were waiting when the loop last looked.
 *
 * The longest delay since the last tick tells of a line of requests that grows; a single one is forgotten. The 99th percentile
 * of a second or two tells of a service that blocks again and again. Neither tells of saturation: a loop that is full of
 * tasks of a millisecond runs its timers on time.
 *
 * @param options - the band is in milliseconds. @default { low: 150, high: 200 } for 99, { low: 25, high: 50 } for 100
 * @throws TypeError or RangeError for a percentile or band that is none.
 */
export function eventLoopDelay(options: EventLoopDelayOptions): Signal {
  const { percentile, ...band } = parseOptions("eventLoopDelay", options, ["percentile", "low", "high"]);
  if ((percentile as unknown) !== 99 && percentile !== 100) {
    throw new RangeError(argumentError("percentile", "99 or 100", percentile));
  }
  const probe = percentile === 99 ? new RecentDelays() : new LongestDelay();
  return {
    name: `event loop delay ${percentile === 99 ? "p99" : "max"}`,
    ...movedBand("eventLoopDelay", band, percentile === 99 ? { low: 150, high: 200 } : { low: 25, high: 50 }),
    // Nothing is late by 0 ms, in a quiet process, again and again; what is stuck is seen by its count.
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
    // In a loop that is late the probe's timer may run after the monitor's, a few times, and a single turn may take a second:
    // that is no news, and no fault.
    const isMute = this.#silentReads > SILENT_READS && now - this.#probedAt > SPAN_MS;
    return isMute ? NaN : this.#latest;
  }
}

/** The 99th percentile of the delays of the last one to two seconds: of two histograms, each emptied when the other is full. */
class RecentDelays {
  #older: IntervalHistogram | undefined;
  #newer: IntervalHistogram | undefined;
  #swapAt = 0;
  #askAt = 0;
  #counted = 0;
  #latest = 0;

  start(): void {
    this.#older = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#newer = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
    this.#older.enable();
    this.#newer.enable();
    this.#swapAt = performance.now() + SPAN_MS;
    this.#askAt = 0;
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
    if (now < this.#askAt) return this.#latest;
    this.#askAt = now + ASKED_EVERY_MS;
    if (now >= this.#swapAt) {
      // Not a probe in a second: the histogram does not run.
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
