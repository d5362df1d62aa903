import { NOTHING } from "./stamp-pages.js";

/**
 * The log of one key, to be read: the stamps of the calls that were admitted, oldest to newest, in a ring.
 *
 * It is a window on the logs that it belongs to, of which there is one: it shows the log that was last looked at, as it is
 * until the next write. To make one for each look would be safer, and would be garbage for each call wherever the compiler
 * does not see that it goes nowhere; to ask for each stamp by the place of its log reads the header once for each layer.
 */
export class TimestampLog {
  #page: Float64Array = NOTHING;
  #base = 0;
  #mask = 0;
  #head = 0;
  #count = 0;

  /**
   * Shows another ring.
   *
   * @param mask - its capacity, a power of 2, less 1.
   * @param head - where in it the next stamp goes.
   */
  show(page: Float64Array, base: number, mask: number, head: number, count: number): this {
    this.#page = page;
    this.#base = base;
    this.#mask = mask;
    this.#head = head;
    this.#count = count;
    return this;
  }

  /** Whether no stamp is left. A log of dead stamps only is not empty. */
  get isEmpty(): boolean {
    return this.#count === 0;
  }

  /** The `n`-th most recent stamp, 1 being the newest, or `-Infinity` where there are fewer: a call infinitely long ago. */
  nthMostRecent(n: number): number {
    if (n > this.#count) return -Infinity;
    return this.#page[this.#base + ((this.#head - n) & this.#mask)] as number;
  }

  /** How many stamps are after `instant`: a binary search, because a log is in order. */
  countAfter(instant: number): number {
    let least = 0;
    let most = this.#count;
    while (least < most) {
      const middle = (least + most + 1) >>> 1;
      if (this.nthMostRecent(middle) > instant) least = middle;
      else most = middle - 1;
    }
    return least;
  }
}
