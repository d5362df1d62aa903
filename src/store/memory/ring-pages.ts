import { StoreError } from "../../core/errors.js";

/** Timestamps of a page, as a power of 2: 64 KB. A larger ring is a page of its own. */
const PAGE_LOG2 = 13;
const PAGE = 2 ** PAGE_LOG2;

/** The most pages, so that the number of a page and an index in it fit into 31 bits: 16 GB of small rings. */
const MOST_PAGES = 2 ** (31 - PAGE_LOG2);

/** The reference of no ring: the log of a key that has made one call has none. */
export const NO_RING = 0;

/** The number of the page that a ring is in. */
export function pageOf(ring: number): number {
  return ring >>> PAGE_LOG2;
}

/** The index of a ring's first slot in its page. */
export function baseOf(ring: number): number {
  return ring & (PAGE - 1);
}

/** The rings of one capacity. */
interface Size {
  readonly capacity: number;
  /** The pages that have a free ring. The last one is used first. */
  readonly open: Page[];
  hasPages: boolean;
}

interface Page {
  readonly number: number;
  readonly size: Size;
  /** Index of the first freed ring, whose first slot has the index of the next; -1 if there is none. */
  freed: number;
  /** Index of the first slot that no ring has used yet. */
  unused: number;
  /** How many rings are in use. */
  inUse: number;
  /** Where in `size.open` the page is; -1 while all its rings are in use. */
  openAt: number;
}

/**
 * The rings in which logs keep their older timestamps: blocks of 4, 16, 64, 128, 256 … numbers, those of one capacity side by
 * side in shared pages.
 *
 * A typed array for each key would take 200 bytes to hold 4 numbers, and a plain array is garbage each time it grows. A page
 * is one object for up to 2,048 rings. A ring never moves. The ring that was freed last is allocated next, and a page is
 * dropped when its last ring is freed.
 *
 * A ring is known by its reference, a whole number from 1: {@link pageOf} and {@link baseOf} split it.
 */
export class RingPages {
  /** The slots of each page, by its number. Page 0 is empty, and belongs to {@link NO_RING}. */
  readonly slots: Float64Array[] = [new Float64Array(0)];
  /** The capacity of the rings of each page less 1, by number. It is a power of 2 less 1, so `index & mask` wraps around. */
  readonly masks: number[] = [-1];
  readonly #pages: (Page | undefined)[] = [undefined];
  readonly #unusedNumbers: number[] = [];
  readonly #sizes: Size[] = [];

  /**
   * Allocates a ring. Its slots are not cleared.
   *
   * @param capacity - a power of 2, at least 4.
   * @throws StoreError if there is no memory for it; nothing has changed then.
   */
  allocate(capacity: number): number {
    const size = this.#sizeOf(capacity);
    const page = size.open.at(-1) ?? this.#addPage(size);
    let slots = this.slots[page.number] as Float64Array;
    const isNew = page.freed < 0;
    const base = isNew ? page.unused : page.freed;
    if (base + capacity > slots.length) slots = this.#doublePage(page);
    // No calls from here on: a stack overflow could interrupt the writes.
    if (isNew) page.unused += capacity;
    else page.freed = slots[base] as number;
    page.inUse += 1;
    if (page.freed < 0 && page.unused + capacity > PAGE) {
      size.open.pop();
      page.openAt = -1;
    }
    return (page.number << PAGE_LOG2) | base;
  }

  /** Frees a ring. Callers do this last: if a stack overflow stops this call, the ring is lost, and no log is wrong. */
  free(ring: number): void {
    const page = this.#pages[ring >>> PAGE_LOG2] as Page;
    const { number, size } = page;
    const { open } = size;
    const slots = this.slots[number] as Float64Array;
    // No calls from here on: a stack overflow could interrupt the writes.
    page.inUse -= 1;
    slots[ring & (PAGE - 1)] = page.freed;
    page.freed = ring & (PAGE - 1);
    if (page.openAt < 0) page.openAt = open.push(page) - 1;
    // One empty page is kept: a key that comes and goes must not make and drop one each time.
    if (page.inUse > 0 || (open.length === 1 && size.capacity < PAGE)) return;
    const last = open.pop() as Page;
    if (last !== page) {
      open[page.openAt] = last;
      last.openAt = page.openAt;
    }
    this.slots[number] = this.slots[0] as Float64Array;
    this.#pages[number] = undefined;
    this.#unusedNumbers.push(number);
  }

  #addPage(size: Size): Page {
    const number = this.#unusedNumbers.at(-1) ?? this.slots.length;
    if (number >= MOST_PAGES) throw new StoreError(NO_MEMORY);
    // The first page begins with one ring, and doubles: most limiters of most services have a few keys.
    const length = size.hasPages ? Math.max(size.capacity, PAGE) : size.capacity;
    const slots = numbers(length);
    const page: Page = { number, size, freed: -1, unused: 0, inUse: 0, openAt: size.open.length };
    this.#unusedNumbers.pop();
    this.slots[number] = slots;
    this.masks[number] = size.capacity - 1;
    this.#pages[number] = page;
    size.open.push(page);
    size.hasPages = true;
    return page;
  }

  #doublePage({ number }: Page): Float64Array {
    const larger = doubled(this.slots[number] as Float64Array);
    this.slots[number] = larger;
    return larger;
  }

  #sizeOf(capacity: number): Size {
    const log2 = 31 - Math.clz32(capacity);
    return (this.#sizes[log2] ??= { capacity, open: [], hasPages: false });
  }
}

const NO_MEMORY = "There is no memory to record another call in";

/** An array of `length` zeros. @throws StoreError if there is no memory for them. */
export function numbers(length: number): Float64Array {
  return allocated(() => new Float64Array(length));
}

/** A copy of twice the length, with zeros behind. @throws StoreError if there is no memory for it. */
export function doubled(array: Float64Array): Float64Array {
  const larger = numbers(2 * array.length);
  larger.set(array);
  return larger;
}

/** The array that `make` creates. @throws StoreError if there is no memory for it. */
export function allocated<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new StoreError(NO_MEMORY, { cause });
  }
}
