import type { TimestampLog } from "../../core/sliding-window.js";

/**
 * The log of one key, to be read: a view that is valid until the next write to its table.
 *
 * The newest timestamp is apart from the older ones, which are in a ring: most keys make one call, and need no ring.
 */
export class KeyLog implements TimestampLog {
  readonly #newest: number;
  readonly #older: number;
  readonly #slots: Float64Array;
  readonly #base: number;
  readonly #head: number;
  readonly #mask: number;

  /**
   * @param newest - the newest timestamp, `-Infinity` for none.
   * @param older - how many timestamps are in the ring.
   * @param slots - the page that the ring is in, from `base` on.
   * @param head - the slot of the ring that is written next.
   * @param mask - the capacity of the ring less 1.
   */
  constructor(newest: number, older: number, slots: Float64Array, base: number, head: number, mask: number) {
    this.#newest = newest;
    this.#older = older;
    this.#slots = slots;
    this.#base = base;
    this.#head = head;
    this.#mask = mask;
  }

  nthMostRecent(n: number): number {
    if (n === 1) return this.#newest;
    if (n - 1 > this.#older) return -Infinity;
    return this.#slots[this.#base + ((this.#head - n + 1) & this.#mask)] as number;
  }

  countAfter(instant: number): number {
    if (!(this.#newest > instant)) return 0;
    let most = this.#older + 1;
    // In many logs nothing has expired yet.
    if (this.nthMostRecent(most) > instant) return most;
    // A binary search, because a log is in order.
    let least = 1;
    most -= 1;
    while (least < most) {
      const middle = (least + most + 1) >>> 1;
      if (this.nthMostRecent(middle) > instant) least = middle;
      else most = middle - 1;
    }
    return least;
  }
}
