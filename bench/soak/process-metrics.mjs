import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { heldBytes } from "../weight.mjs";

/** The heap of the process over time, and its longest stalls. Forced garbage collections do not count as stalls. */
export class ProcessMetrics {
  /** The longest time between two calls of {@link probe}, in milliseconds. */
  longestStall = 0;
  #delay = monitorEventLoopDelay({ resolution: 1 });
  #longestDelay = 0;
  #last = 0;
  #start = performance.now();
  /** @type {{ minute: number, mb: number }[]} */
  #heap = [];

  constructor() {
    this.#delay.enable();
  }

  /** Starts a stretch of work that does not yield to the event loop. */
  begin() {
    this.#last = performance.now();
  }

  /** To be called every few steps of that work. */
  probe() {
    const now = performance.now();
    this.longestStall = Math.max(this.longestStall, now - this.#last);
    this.#last = now;
  }

  /** The longest delay of the event loop, in milliseconds. */
  get longestDelay() {
    return Math.max(this.#longestDelay, this.#delay.max / 1e6);
  }

  /** Collects garbage, and records and returns the megabytes that are left. */
  async sampleHeap() {
    this.#longestDelay = this.longestDelay;
    this.#delay.disable();
    globalThis.gc();
    const mb = heldBytes() / 2 ** 20;
    this.#heap.push({ minute: (performance.now() - this.#start) / 60_000, mb });
    // Yield before measuring again, so that the collection does not count as a delay.
    await new Promise((resolve) => setImmediate(resolve));
    this.#delay.reset();
    this.#delay.enable();
    return mb;
  }

  /** Growth of the heap in megabytes a minute, by least squares. Excludes the first fifth, while the stores fill. */
  get slope() {
    const points = this.#heap.slice(Math.floor(this.#heap.length / 5));
    const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
    const [minute, mb] = [mean((point) => point.minute), mean((point) => point.mb)];
    const covariance = mean((point) => (point.minute - minute) * (point.mb - mb));
    return covariance / mean((point) => (point.minute - minute) ** 2);
  }
}
