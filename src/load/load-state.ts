import type { Reading } from "./signal-reader.js";

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
