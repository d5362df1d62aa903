import { StoreError } from "./errors.js";

/** Stamps of a page, as a power of 2: 64 KB of them, and their owners. A larger block is a page of its own. */
const PAGE_LOG2 = 13;

/** The page of no block, which is number 0, and what is there of a page that was dropped. */
export const NOTHING: Float64Array = new Float64Array(0);

/** No block has this owner. */
export const NO_OWNER = -1;

/** The blocks of one size: they lie behind one another in pages, without a hole. */
interface Size {
  /** Stamps of a block. */
  readonly slots: number;
  /** Blocks of a page, a power of 2, and which power. */
  readonly perPage: number;
  readonly perPageLog2: number;
  /** Which pages they are in: all full but the last, or the last and an empty one. */
  readonly pages: number[];
  blocks: number;
}

/**
 * The memory that rings are in: blocks of 1, 2, 4 … stamps, those of one size side by side in shared pages.
 *
 * A typed array for each key would take 200 bytes to hold 8, and a plain one that grows is garbage each time; a page is one
 * object for thousands of keys, and a block that grows leaves nothing behind. There are no holes: the last block of a size
 * moves to where one is given back, so that the memory in use is that of the blocks in use and a page for each size, whatever
 * came before.
 */
export class StampPages {
  /** By number. For who reads and writes stamps: a slot is `pages[page][base + index]`. It may change at each `take` and `give`. */
  readonly pages: Float64Array[] = [NOTHING];
  readonly #sizes: Size[] = [];
  readonly #unused: number[] = [];

  /**
   * Takes a block of `2 ** log2` stamps, which holds anything.
   *
   * @returns its number among those of its size, until the next `give` of that size: {@link pageOf} and {@link baseOf} tell
   *   where it is.
   * @throws StoreError when there is no memory for it; nothing has changed then.
   */
  take(log2: number, owner: number): number {
    const size = this.#sizeOf(log2);
    const block = size.blocks;
    const order = block >>> size.perPageLog2;
    if (order === size.pages.length) this.#addPage(size);
    const number = size.pages[order] as number;
    const base = this.baseOf(log2, block);
    if (base > (this.pages[number] as Float64Array).length) this.#doublePage(number);
    size.blocks += 1;
    this.setOwner(number, base, owner);
    return block;
  }

  /** The page that a block is in. */
  pageOf(log2: number, block: number): number {
    const size = this.#sizeOf(log2);
    return size.pages[block >>> size.perPageLog2] as number;
  }

  /** Where in its page a block begins. */
  baseOf(log2: number, block: number): number {
    const { perPage, slots } = this.#sizeOf(log2);
    return (block & (perPage - 1)) * (slots + 1) + 1;
  }

  /** Notes whose block this is from now on. */
  setOwner(page: number, base: number, owner: number): void {
    // In front of the block, which moves with it.
    (this.pages[page] as Float64Array)[base - 1] = owner;
  }

  /**
   * Gives back the block of `2 ** log2` stamps that begins at `base` in `page`.
   *
   * @returns the owner of the block that is there now, which was the last of its size, or {@link NO_OWNER}.
   */
  give(log2: number, page: number, base: number): number {
    const size = this.#sizeOf(log2);
    const last = size.blocks - 1;
    const lastPage = this.pageOf(log2, last);
    const lastBase = this.baseOf(log2, last);
    size.blocks = last;
    let moved = NO_OWNER;
    if (page !== lastPage || base !== lastBase) {
      const from = this.pages[lastPage] as Float64Array;
      moved = from[lastBase - 1] as number;
      // A page that is one block moves as it is.
      if (size.perPage === 1) this.pages[page] = from;
      else copyStamps(from, lastBase - 1, this.pages[page] as Float64Array, base - 1, size.slots + 1);
    }
    this.#dropPages(size);
    return moved;
  }

  #addPage(size: Size): void {
    // The first begins with one block, and doubles: most limiters of most services have a few keys.
    const blocks = size.pages.length === 0 ? 1 : size.perPage;
    const page = newPage(blocks * (size.slots + 1));
    const number = this.#unused.pop() ?? this.pages.length;
    this.pages[number] = page;
    size.pages.push(number);
  }

  #doublePage(number: number): void {
    const page = this.pages[number] as Float64Array;
    const larger = newPage(2 * page.length);
    larger.set(page);
    this.pages[number] = larger;
  }

  /** Drops pages that are empty, but one if it is shared: a key that comes and goes is not to make and drop one each time. */
  #dropPages({ blocks, perPage, pages }: Size): void {
    const inUse = Math.ceil(blocks / perPage);
    const kept = perPage === 1 ? inUse : inUse + 1;
    if (pages.length <= kept) return;
    const number = pages.pop() as number;
    this.pages[number] = NOTHING;
    this.#unused.push(number);
  }

  #sizeOf(log2: number): Size {
    for (let at = this.#sizes.length; at <= log2; at += 1) {
      const perPageLog2 = Math.max(0, PAGE_LOG2 - at);
      this.#sizes.push({ slots: 2 ** at, perPage: 2 ** perPageLog2, perPageLog2, pages: [], blocks: 0 });
    }
    return this.#sizes[log2] as Size;
  }
}

function newPage(length: number): Float64Array {
  try {
    return new Float64Array(length);
  } catch (cause) {
    throw new StoreError("There is no memory to record another call in", { cause });
  }
}

/** Copies stamps from page to page. */
export function copyStamps(from: Float64Array, start: number, to: Float64Array, at: number, count: number): void {
  // A view of a few elements costs more than they do.
  if (count > 40) to.set(from.subarray(start, start + count), at);
  else for (let step = 0; step < count; step += 1) to[at + step] = from[start + step] as number;
}
