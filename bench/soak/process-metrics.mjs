import { monitorEventLoopDelay, performance } from "node:perf_hooks";
import { heldBytes } from "../weight.mjs";

/** How the process feels: its heap over time, and how long it was held up. Collecting garbage on demand is left out. */
export class Vitals {
  /** The longest that a few steps took, in milliseconds. */
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

  /** Begins a stretch without a turn of the event loop. */
  begin() {
    this.#last = performance.now();
  }

  /** Called in it, every few steps. */
  probe() {
    const now = performance.now();
    this.longestStall = Math.max(this.longestStall, now - this.#last);
    this.#last = now;
  }

  /** The longest that a turn of the event loop was late, in milliseconds. */
  get longestDelay() {
    return Math.max(this.#longestDelay, this.#delay.max / 1e6);
  }

  async weigh() {
    this.#longestDelay = this.longestDelay;
    this.#delay.disable();
    globalThis.gc();
    const mb = heldBytes() / 2 ** 20;
    this.#heap.push({ minute: (performance.now() - this.#start) / 60_000, mb });
    // A turn, so that what the collection held up is not counted as a stall.
    await new Promise((resolve) => setImmediate(resolve));
    this.#delay.reset();
    this.#delay.enable();
    return mb;
  }

  /** Megabytes a minute by least squares, the first fifth left out, in which the stores fill; NaN of too few points. */
  get slope() {
    const points = this.#heap.slice(Math.floor(this.#heap.length / 5));
    const mean = (of) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
    const [minute, mb] = [mean((point) => point.minute), mean((point) => point.mb)];
    const covariance = mean((point) => (point.minute - minute) * (point.mb - mb));
    return covariance / mean((point) => (point.minute - minute) ** 2);
  }
}
