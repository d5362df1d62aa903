import type { Reading } from "./signal-reader.js";

/** What a `LoadMonitor` saw at its last tick, and what it made of it. */
export interface LoadState {
  /** The share of their base limits that limiters enforce now: from the floor to 1. */
  readonly factor: number;
  /**
   * How hard it is pressed, smoothed: below 0 limits grow, and between 0 and 1 they hold. Above 1 they are cut, which leaves
   * it at 0.5. From -1 up.
   */
  readonly pressure: number;
  /** The highest share of its base limit that any key had live since the tick before; undefined if no call was decided. */
  readonly used: number | undefined;
  /** What each signal read. */
  readonly signals: readonly Reading[];
}
