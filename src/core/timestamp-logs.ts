import { headroom } from "./headroom.js";
import { copyStamps, NO_OWNER, StampPages } from "./stamp-pages.js";
import { TimestampLog } from "./timestamp-log.js";

/** The place of no key: the log there is empty, for ever, and answers for every key that has none. */
export const NOWHERE = 0;

/**
 * The most timestamps that one refund moves, in every store. A refund of an old call moves all newer ones, so without a bound
 * one client could make a store move millions of them for each of its refunds.
 */
export const MOST_MOVED = 4096;

// The header of a log: six numbers, in pages of headers. Each fits 32 bits, because no limit is of more than 2^24 calls.
const FIELDS = 6;
/** Where its ring is: in which page of stamps, from where on. */
const PAGE = 0;
const BASE = 1;
/** The capacity of the ring less 1. It is a power of 2, so this takes an index around. */
const MASK = 2;
/** Where in the ring the next stamp goes; in a full ring that is where the oldest is. */
const HEAD = 3;
/** How many stamps the ring holds, the dead ones not overwritten yet included. */
const COUNT = 4;
/** Which log this is: of two that one key had one after the other, they differ. */
const EPOCH = 5;

/** Headers of a page, as a power of 2: 96 KB of them. */
const PER_PAGE_LOG2 = 12;
const WITHIN_PAGE = 2 ** PER_PAGE_LOG2 - 1;

/**
 * The logs of many keys. The log of one is the stamps of its calls that were admitted, oldest to newest, in a ring that
 * grows as it must; it is known by its place, a whole number from 1 to `size`, which {@link remove} may change.
 *
 * The invariant everything rests on: **the ring holds every stamp that is live in any layer**. A full ring whose oldest
 * stamp is dead in the longest period overwrites it, otherwise it grows; it is never cut, so a limit that is lowered and
 * raised again has lost nothing.
 *
 * Nothing here is an object of one key, which takes memory, is traced by the garbage collector as long as it lives, and is
 * garbage each time it grows: headers and rings lie in pages that thousands of keys share.
 */
export class TimestampLogs {
  #rings = new StampPages();
  /** Of `#rings`, one step nearer. */
  #pages: readonly Float64Array[] = this.#rings.pages;
  #headers = [new Int32Array(FIELDS)];
  readonly #window = new TimestampLog();
  #size = 0;
  #lastEpoch = 0;

  /** How many logs there are: they have the places from 1 to this. */
  get size(): number {
    return this.#size;
  }

  /**
   * The number that tells this log from every other here, and stays with it as it grows and moves. It comes round after 2^32
   * logs, more than begin in a millisecond: two of one key that hold the same stamp have different ones.
   */
  epochOf(place: number): number {
    return this.#field(place, EPOCH);
  }

  /** The log at a place, to be read until the next look at any, or the next write to any. */
  at(place: number): TimestampLog {
    const header = this.#headers[place >>> PER_PAGE_LOG2] as Int32Array;
    const at = (place & WITHIN_PAGE) * FIELDS;
    return this.#window.show(
      this.#pages[fieldOf(header, at, PAGE)] as Float64Array,
      fieldOf(header, at, BASE),
      fieldOf(header, at, MASK),
      fieldOf(header, at, HEAD),
      fieldOf(header, at, COUNT),
    );
  }

  /** Begins an empty log, with room for one stamp, because most keys never come twice, and returns its place. */
  add(): number {
    const place = this.#size + 1;
    this.#makeHeader(place);
    const block = this.#rings.take(0, place);
    this.#size = place;
    this.#lastEpoch += 1;
    this.#setField(place, EPOCH, this.#lastEpoch);
    this.#setField(place, COUNT, 0);
    this.#setRing(place, this.#rings.pageOf(0, block), this.#rings.baseOf(0, block), 1, 0);
    return place;
  }

  /**
   * Records one stamp.
   *
   * @param stamp - not below the newest.
   * @param horizon - stamps up to this instant are dead in every layer, and may be overwritten.
   * @throws StoreError when the ring has to grow and there is no memory; it is as it was then.
   */
  append(place: number, stamp: number, horizon: number): void {
    const header = this.#headers[place >>> PER_PAGE_LOG2] as Int32Array;
    const at = (place & WITHIN_PAGE) * FIELDS;
    const mask = fieldOf(header, at, MASK);
    const head = fieldOf(header, at, HEAD);
    const count = fieldOf(header, at, COUNT);
    const page = this.#pages[fieldOf(header, at, PAGE)] as Float64Array;
    const slot = fieldOf(header, at, BASE) + head;
    // In a full ring the oldest is where the next one goes.
    const isFull = count > mask;
    if (isFull && (page[slot] as number) > horizon) {
      this.#grow(place, count);
      this.append(place, stamp, horizon);
      return;
    }
    page[slot] = stamp;
    header[at + HEAD] = (head + 1) & mask;
    if (!isFull) header[at + COUNT] = count + 1;
  }

  /**
   * Grows the ring until as many stamps more go into slots that are free, or hold what is dead: so that of several, all are
   * recorded or none.
   *
   * @throws StoreError when there is no memory; the log is as it was then.
   */
  reserve(place: number, stamps: number, horizon: number): void {
    const live = this.at(place).countAfter(horizon);
    while (live + stamps > this.#field(place, MASK) + 1) this.#grow(place, live);
  }

  /**
   * Takes away up to `most` of the stamps that equal `stamp`, and returns how many it took.
   *
   * Newer stamps move into the gap, so it costs what has come since: nothing for the latest call. Where that would be more
   * than {@link MOST_MOVED}, it takes none.
   */
  removeStamps(place: number, stamp: number, most: number): number {
    const log = this.at(place);
    const newer = log.countAfter(stamp);
    if (newer > MOST_MOVED) return 0;
    let taken = 0;
    while (taken < most && log.nthMostRecent(newer + taken + 1) === stamp) taken += 1;
    if (taken === 0) return 0;
    headroom();
    const page = this.#pages[this.#field(place, PAGE)] as Float64Array;
    const base = this.#field(place, BASE);
    const head = this.#field(place, HEAD);
    const mask = this.#field(place, MASK);
    for (let n = newer; n >= 1; n -= 1) {
      page[base + ((head - n - taken) & mask)] = page[base + ((head - n) & mask)] as number;
    }
    this.#setField(place, HEAD, (head - taken) & mask);
    this.#setField(place, COUNT, this.#field(place, COUNT) - taken);
    return taken;
  }

  /** Drops the log at a place, which the log of the last place takes over. Precondition: 1 <= place <= size. */
  remove(place: number): void {
    const last = this.#size;
    this.#giveRing(place);
    if (place !== last) {
      for (let field = 0; field < FIELDS; field += 1) this.#setField(place, field, this.#field(last, field));
      this.#rings.setOwner(this.#field(place, PAGE), this.#field(place, BASE), place);
    }
    this.#size = last - 1;
    // Keeps the page of headers that has become empty until the one before it does, as pages of stamps are kept.
    if (this.#headers.length > ((last - 1) >>> PER_PAGE_LOG2) + 2) this.#headers.pop();
  }

  /** Drops every log, at once however many they are. */
  clear(): void {
    this.#rings = new StampPages();
    this.#pages = this.#rings.pages;
    this.#headers = [new Int32Array(FIELDS)];
    this.#size = 0;
  }

  #makeHeader(place: number): void {
    const number = place >>> PER_PAGE_LOG2;
    const page = this.#headers[number];
    if (page === undefined) {
      this.#headers[number] = new Int32Array(2 ** PER_PAGE_LOG2 * FIELDS);
    } else if ((place & WITHIN_PAGE) * FIELDS === page.length) {
      const larger = new Int32Array(2 * page.length);
      larger.set(page);
      this.#headers[number] = larger;
    }
  }

  /** Moves a ring to one of twice the capacity, with its `kept` newest stamps: the others are dead. */
  #grow(place: number, kept: number): void {
    headroom();
    const capacity = this.#field(place, MASK) + 1;
    const log2 = log2Of(capacity);
    const block = this.#rings.take(log2 + 1, place);
    // What it leaves is given back only now: had there been no memory, it would still be there.
    const from = this.#pages[this.#field(place, PAGE)] as Float64Array;
    const base = this.#field(place, BASE);
    const first = (this.#field(place, HEAD) - kept) & (capacity - 1);
    const page = this.#rings.pageOf(log2 + 1, block);
    const target = this.#rings.baseOf(log2 + 1, block);
    const straight = Math.min(kept, capacity - first);
    copyStamps(from, base + first, this.#pages[page] as Float64Array, target, straight);
    copyStamps(from, base, this.#pages[page] as Float64Array, target + straight, kept - straight);
    this.#giveRing(place);
    this.#setRing(place, page, target, 2 * capacity, kept);
    this.#setField(place, COUNT, kept);
  }

  /** Gives back the ring of a log. The log whose ring moves to where it was is told so. */
  #giveRing(place: number): void {
    const page = this.#field(place, PAGE);
    const base = this.#field(place, BASE);
    const moved = this.#rings.give(log2Of(this.#field(place, MASK) + 1), page, base);
    if (moved === NO_OWNER) return;
    this.#setField(moved, PAGE, page);
    this.#setField(moved, BASE, base);
  }

  #setRing(place: number, page: number, base: number, capacity: number, head: number): void {
    this.#setField(place, PAGE, page);
    this.#setField(place, BASE, base);
    this.#setField(place, MASK, capacity - 1);
    this.#setField(place, HEAD, head);
  }

  #field(place: number, field: number): number {
    return fieldOf(this.#headers[place >>> PER_PAGE_LOG2] as Int32Array, (place & WITHIN_PAGE) * FIELDS, field);
  }

  #setField(place: number, field: number, value: number): void {
    const header = this.#headers[place >>> PER_PAGE_LOG2] as Int32Array;
    header[(place & WITHIN_PAGE) * FIELDS + field] = value;
  }
}

/** The base-2 logarithm of a power of 2. */
function log2Of(power: number): number {
  return 31 - Math.clz32(power);
}

function fieldOf(header: Int32Array, at: number, field: number): number {
  return header[at + field] as number;
}
