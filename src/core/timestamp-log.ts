/**
 * The log of one key, to be read: the stamps of the calls that were admitted, oldest to newest, in a ring.
 *
 * It shows what the ring holds now, and is worth nothing after the next write to the logs it is of. It is made anew for each
 * look, which allocates nothing on the hot path: V8 sees that it goes nowhere, and keeps its fields in registers, where each
 * layer finds them (`bench/gate.mjs` counts what a call leaves behind).
 */
export class TimestampLog {
  readonly #page: Float64Array;
  readonly #base: number;
  readonly #mask: number;
  readonly #head: number;
  readonly #count: number;

  /** @param mask - the ring's capacity, a power of 2, less 1. @param head - where in the ring the next stamp goes. */
  constructor(page: Float64Array, base: number, mask: number, head: number, count: number) {
    this.#page = page;
    this.#base = base;
    this.#mask = mask;
    this.#head = head;
    this.#count = count;
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
