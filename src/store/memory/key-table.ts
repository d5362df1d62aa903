import type { Limit } from "../../core/limit.js";
import type { KeyLock, LockPolicy } from "../../core/locks.js";
import { forgottenAt } from "../../core/locks.js";
import type { TimestampLog } from "../../core/sliding-window.js";
import { KeyIndex } from "./key-index.js";
import { allocated, baseOf, doubled, NO_RING, numbers, pageOf, RingPages } from "./ring-pages.js";

/** The place of a key that the table does not have. The record there is empty for ever. */
export const NOWHERE = 0;

// The record of a key: four numbers of one page.
const FIELDS_LOG2 = 2;
/** The newest timestamp; `-Infinity` for an empty log. */
const NEWEST = 0;
/** How many older timestamps are in the ring, expired ones that are not overwritten yet included. */
const OLDER = 1;
/** The slot of the ring that is written next. In a full ring it has the oldest timestamp. */
const HEAD = 2;
/** The reference of the ring. */
const RING = 3;

/** Records of a page, as a power of 2: 128 KB. */
const PAGE_LOG2 = 12;
const WITHIN_PAGE = 2 ** PAGE_LOG2 - 1;

/** The records of 4,096 places, and what belongs to the same keys and is not needed for every call. */
interface Page {
  readonly keys: string[];
  /** The identities of the logs: two logs that a key has one after the other differ. */
  readonly ids: Int32Array;
  /** Until when a key is not to be evicted, whatever its log says. Made for the first key of a page that needs it. */
  keptUntil: Float64Array | undefined;
}

/**
 * The keys of one namespace with their logs.
 *
 * A key is known by its place, a whole number from 1 to `size`: a walk over all places can stop and go on, which the iterator
 * of a `Map` cannot. When a key is forgotten, the key of the last place moves to its place.
 *
 * The invariant: **a log contains every timestamp that is unexpired in the longest period.** A full ring whose oldest timestamp
 * has expired overwrites it; otherwise the log moves to a larger ring. No log is cut by the depth of a limit, so a limit that
 * is lowered and raised again has lost nothing.
 *
 * A stack overflow or a failed allocation leaves no log half written: everything that may fail comes before the first write, and
 * no function of this package is called between the writes.
 */
export class KeyTable {
  /** The longest period: an older timestamp counts in no limit. */
  readonly longestMs: number;

  /** The limits of the last call without its own `maxCalls`. They decide which keys are at their limit, for the evictor. */
  limits: readonly Limit[] = [];

  /** How refusals lock keys; undefined if they do not. */
  readonly policy: LockPolicy | undefined;

  /** The locks by key, some of which may count no longer. Undefined until a key may have one, so that other tables pay nothing. */
  locks: Map<string, KeyLock> | undefined;

  #index = new KeyIndex();
  #rings = new RingPages();
  #records: Float64Array[] = [new Float64Array(2 << FIELDS_LOG2)];
  #pages: Page[] = [emptyPage(2)];
  #size = 0;
  #lastId = 0;

  constructor(longestMs: number, policy?: LockPolicy) {
    this.longestMs = longestMs;
    this.policy = policy;
    this.locks = policy && new Map();
    (this.#records[0] as Float64Array)[NEWEST] = -Infinity;
  }

  /** The number of keys, those included whose timestamps have all expired. */
  get size(): number {
    return this.#size;
  }

  /** The place of a key, or {@link NOWHERE}. It is valid until a key is forgotten. */
  placeOf(key: string): number {
    return this.#index.get(key) ?? NOWHERE;
  }

  /**
   * Decides a call of cost 1 of a known key, and records it if every limit allows it: what most calls are.
   *
   * It is `allows` of `core/sliding-window.ts` and {@link append} in one, and makes no call in the usual case: it has to stay
   * smaller than what V8 inlines (460 bytes of bytecode), because a call costs more than the rest of the method.
   */
  admitOne(place: number, limits: readonly Limit[], now: number, timestamp: number): boolean {
    const page = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = (place & WITHIN_PAGE) << FIELDS_LOG2;
    const newest = page[at] as number;
    const older = (page[at + OLDER] as number) | 0;
    const head = (page[at + HEAD] as number) | 0;
    const ring = (page[at + RING] as number) | 0;
    const slots = this.#rings.slots[pageOf(ring)] as Float64Array;
    const mask = this.#rings.masks[pageOf(ring)] as number;
    const base = baseOf(ring);
    // By index, because the iterator of `for...of` costs a fifth of the call.
    for (let layer = limits.length - 1; layer >= 0; layer -= 1) {
      const { maxCalls, periodMs } = limits[layer] as Limit;
      // The `maxCalls`-th most recent timestamp has as many newer ones less 1.
      const n = maxCalls - 1;
      if (n > older) continue;
      const nth = n > 0 ? (slots[base + ((head - n) & mask)] as number) : n === 0 ? newest : Infinity;
      if (nth > now - periodMs) return false;
    }
    const expired = now - this.longestMs;
    if (!(newest > expired)) {
      page[at + OLDER] = 0;
    } else if (older <= mask || (mask > 0 && (slots[base + head] as number) <= expired)) {
      slots[base + head] = newest;
      page[at + HEAD] = (head + 1) & mask;
      if (older <= mask) page[at + OLDER] = older + 1;
    } else {
      this.append(place, 1, now, timestamp);
      return true;
    }
    page[at] = timestamp;
    return true;
  }

  /** The log at a place, to be read until the next write to this table; at {@link NOWHERE} an empty one. */
  logAt(place: number): KeyLog {
    const page = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = (place & WITHIN_PAGE) << FIELDS_LOG2;
    const ring = page[at + RING] as number;
    return new KeyLog(
      page[at] as number,
      page[at + OLDER] as number,
      this.#rings.slots[pageOf(ring)] as Float64Array,
      baseOf(ring),
      page[at + HEAD] as number,
      this.#rings.masks[pageOf(ring)] as number,
    );
  }

  /** The newest timestamp of the log at a place, `-Infinity` if it is empty. */
  newestAt(place: number): number {
    return (this.#records[place >>> PAGE_LOG2] as Float64Array)[(place & WITHIN_PAGE) << FIELDS_LOG2] as number;
  }

  /** The first instant at which the key at a place is idle: its timestamps, its lock and its strikes count no longer. */
  idleAt(place: number): number {
    const expiredAt = this.newestAt(place) + this.longestMs;
    const lock = this.lockAt(place);
    return lock === undefined ? expiredAt : Math.max(expiredAt, forgottenAt(lock, this.policy));
  }

  /** The lock of the key at a place, which may count no longer. Precondition: 1 <= place <= size. */
  lockAt(place: number): KeyLock | undefined {
    return this.locks?.get(this.keyAt(place));
  }

  /** The lock of a key; undefined if it counts no longer. */
  lockOf(key: string, now: number): KeyLock | undefined {
    const lock = this.locks?.get(key);
    return lock !== undefined && forgottenAt(lock, this.policy) > now ? lock : undefined;
  }

  /** Sets the lock of the key at a place. Precondition: 1 <= place <= size. */
  lock(place: number, lock: KeyLock): void {
    this.locks ??= new Map();
    this.locks.set(this.keyAt(place), lock);
  }

  /**
   * The identity of the log at a place, which stays with it while it grows and moves. The counter wraps around after 2^32 logs.
   * That is safe: fewer logs start within a millisecond, so two logs of a key that contain the same timestamp differ.
   */
  idAt(place: number): number {
    return this.#pageOf(place).ids[place & WITHIN_PAGE] as number;
  }

  /** The key at a place. Precondition: 1 <= place <= size. */
  keyAt(place: number): string {
    return this.#pageOf(place).keys[place & WITHIN_PAGE] as string;
  }

  /** Until when the key at a place is not to be evicted; `-Infinity` if nothing is noted. */
  keptUntil(place: number): number {
    return this.#pageOf(place).keptUntil?.[place & WITHIN_PAGE] ?? -Infinity;
  }

  /** Notes until when, at least, the key at a place is not to be evicted. Precondition: 1 <= place <= size. */
  keepUntil(place: number, instant: number): void {
    const page = this.#pageOf(place);
    page.keptUntil ??= numbers(page.ids.length).fill(-Infinity);
    const within = place & WITHIN_PAGE;
    page.keptUntil[within] = Math.max(instant, page.keptUntil[within] as number);
  }

  /**
   * Adds a key with an empty log, and returns its place. Precondition: the table does not have the key.
   *
   * @throws StoreError if there is no memory; nothing has changed then.
   */
  add(key: string): number {
    const own = copyOf(key);
    const place = this.#size + 1;
    this.#index.makeRoom();
    this.#makeRecord(place);
    const map = this.#index.mapOf(own);
    const page = this.#pageOf(place);
    const within = place & WITHIN_PAGE;
    const record = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = within << FIELDS_LOG2;
    record[at] = -Infinity;
    record[at + OLDER] = 0;
    record[at + HEAD] = 0;
    record[at + RING] = NO_RING;
    page.ids[within] = this.#lastId += 1;
    if (page.keptUntil !== undefined) page.keptUntil[within] = -Infinity;
    page.keys[within] = own;
    this.#size = place;
    // The last: without it, the record has an empty log and no key leads to it, and the sweep removes it.
    map.set(own, place);
    return place;
  }

  /**
   * Records a call of this cost at a place, whole or not at all.
   *
   * @param timestamp - not before the newest.
   * @throws StoreError if there is no memory; the log is unchanged then.
   */
  append(place: number, cost: number, now: number, timestamp: number): void {
    const page = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = (place & WITHIN_PAGE) << FIELDS_LOG2;
    const unexpired = this.logAt(place).countAfter(now - this.longestMs);
    const oldRing = page[at + RING] as number;
    // The ring has room for all but the newest. What it overwrites has expired.
    const needed = unexpired + cost - 1;
    const mustGrow = needed > (this.#rings.masks[pageOf(oldRing)] as number) + 1;
    const ring = mustGrow ? this.#copyToLarger(place, unexpired, needed) : oldRing;
    const slots = this.#rings.slots[pageOf(ring)] as Float64Array;
    const mask = this.#rings.masks[pageOf(ring)] as number;
    const base = baseOf(ring);
    // No calls from here on: a stack overflow could interrupt the writes.
    let older = unexpired === 0 ? 0 : mustGrow ? unexpired - 1 : (page[at + OLDER] as number);
    let head = mustGrow ? older : (page[at + HEAD] as number);
    if (unexpired > 0) {
      slots[base + head] = page[at] as number;
      head = (head + 1) & mask;
      older += 1;
    }
    for (let more = 1; more < cost; more += 1) {
      slots[base + head] = timestamp;
      head = (head + 1) & mask;
      older += 1;
    }
    page[at] = timestamp;
    page[at + OLDER] = older > mask ? mask + 1 : older;
    page[at + HEAD] = head;
    page[at + RING] = ring;
    if (mustGrow && oldRing !== NO_RING) this.#rings.free(oldRing);
  }

  /**
   * Removes up to `most` of the timestamps that equal `timestamp`, and returns how many it removed. A key whose log is empty
   * then is forgotten, unless it has a lock.
   *
   * Newer timestamps move into the gap, so that a refund costs as much as calls came after it.
   *
   * @param mostMoves - where more timestamps would have to move, none is removed.
   */
  removeTimestamps(place: number, timestamp: number, most: number, mostMoves: number): number {
    const log = this.logAt(place);
    const newer = log.countAfter(timestamp);
    if (newer > mostMoves) return 0;
    // Timestamps are whole numbers.
    const taken = Math.min(most, log.countAfter(timestamp - 1) - newer);
    if (taken === 0) return 0;
    const page = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = (place & WITHIN_PAGE) << FIELDS_LOG2;
    const older = page[at + OLDER] as number;
    if (taken === older + 1) {
      if (this.lockAt(place) === undefined) this.forgetAt(place);
      else {
        page[at + OLDER] = 0;
        page[at] = -Infinity;
      }
      return taken;
    }
    const ring = page[at + RING] as number;
    const head = page[at + HEAD] as number;
    const slots = this.#rings.slots[pageOf(ring)] as Float64Array;
    const mask = this.#rings.masks[pageOf(ring)] as number;
    const base = baseOf(ring);
    const newest = newer > 0 ? log.nthMostRecent(1) : log.nthMostRecent(taken + 1);
    // No calls from here on: a stack overflow could interrupt the writes.
    // The n-th most recent timestamp is in the slot `head - n + 1`. The oldest moves first.
    for (let n = newer; n > 1; n -= 1) {
      slots[base + ((head - n - taken + 1) & mask)] = slots[base + ((head - n + 1) & mask)] as number;
    }
    page[at] = newest;
    page[at + OLDER] = older - taken;
    page[at + HEAD] = (head - taken) & mask;
    return taken;
  }

  /** Forgets the key at a place, and moves the key of the last place there. Precondition: 1 <= place <= size. */
  forgetAt(place: number): void {
    const last = this.#size;
    const page = this.#pageOf(place);
    const lastPage = this.#pageOf(last);
    const within = place & WITHIN_PAGE;
    const lastWithin = last & WITHIN_PAGE;
    const key = page.keys[within] as string;
    const moved = lastPage.keys[lastWithin] as string;
    const map = this.#index.mapOf(key);
    const movedMap = this.#index.mapOf(moved);
    const until = this.keptUntil(last);
    if (place !== last && until > -Infinity) this.keepUntil(place, until);
    const record = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const lastRecord = this.#records[last >>> PAGE_LOG2] as Float64Array;
    const at = within << FIELDS_LOG2;
    const lastAt = lastWithin << FIELDS_LOG2;
    const ring = record[at + RING] as number;
    // Only calls of built-in functions from here on: a stack overflow could interrupt the writes.
    // A record that was never indexed must not take its key away from another.
    if (map.get(key) === place) {
      map.delete(key);
      this.locks?.delete(key);
    }
    if (place !== last) {
      if (movedMap.get(moved) === last) movedMap.set(moved, place);
      record[at] = lastRecord[lastAt] as number;
      record[at + OLDER] = lastRecord[lastAt + OLDER] as number;
      record[at + HEAD] = lastRecord[lastAt + HEAD] as number;
      record[at + RING] = lastRecord[lastAt + RING] as number;
      page.ids[within] = lastPage.ids[lastWithin] as number;
      if (page.keptUntil !== undefined) page.keptUntil[within] = until;
      page.keys[within] = moved;
    }
    lastPage.keys.length = lastWithin;
    this.#size = last - 1;
    // The page that has become empty stays until the one before it has, so that a key that comes and goes makes none each time.
    if (this.#pages.length > (this.#size >>> PAGE_LOG2) + 2) {
      this.#pages.pop();
      this.#records.pop();
    }
    if (ring !== NO_RING) this.#rings.free(ring);
  }

  /** Forgets every key, at once however many there are. */
  clear(): void {
    const index = new KeyIndex();
    const rings = new RingPages();
    const records = [new Float64Array(2 << FIELDS_LOG2)];
    const pages = [emptyPage(2)];
    const locks = this.locks && new Map<string, KeyLock>();
    (records[0] as Float64Array)[NEWEST] = -Infinity;
    this.#index = index;
    this.#rings = rings;
    this.#records = records;
    this.#pages = pages;
    this.locks = locks;
    this.#size = 0;
  }

  #pageOf(place: number): Page {
    return this.#pages[place >>> PAGE_LOG2] as Page;
  }

  /** Makes sure that there is a record for a place. The first page begins with two, and doubles. */
  #makeRecord(place: number): void {
    const number = place >>> PAGE_LOG2;
    const record = this.#records[number];
    const within = place & WITHIN_PAGE;
    if (record === undefined) {
      const page = emptyPage(WITHIN_PAGE + 1);
      const records = numbers((WITHIN_PAGE + 1) << FIELDS_LOG2);
      this.#pages[number] = page;
      this.#records[number] = records;
    } else if (within << FIELDS_LOG2 === record.length) {
      const { keys, ids, keptUntil } = this.#pageOf(place);
      const page = emptyPage(2 * ids.length, keys);
      page.ids.set(ids);
      if (keptUntil !== undefined) page.keptUntil = doubled(keptUntil);
      const larger = doubled(record);
      this.#pages[number] = page;
      this.#records[number] = larger;
    }
  }

  /** Allocates a ring of at least `capacity` slots, and copies the unexpired older timestamps of a log to its start. */
  #copyToLarger(place: number, unexpired: number, capacity: number): number {
    const page = this.#records[place >>> PAGE_LOG2] as Float64Array;
    const at = (place & WITHIN_PAGE) << FIELDS_LOG2;
    const from = page[at + RING] as number;
    const mask = this.#rings.masks[pageOf(from)] as number;
    let larger = mask + 1;
    while (larger < capacity) larger = larger === 0 ? 4 : larger < 64 ? 4 * larger : 2 * larger;
    const ring = this.#rings.allocate(larger);
    const slots = this.#rings.slots[pageOf(from)] as Float64Array;
    const target = this.#rings.slots[pageOf(ring)] as Float64Array;
    const count = Math.max(0, unexpired - 1);
    const first = ((page[at + HEAD] as number) - count) & mask;
    const straight = Math.min(count, mask + 1 - first);
    copyNumbers(slots, baseOf(from) + first, target, baseOf(ring), straight);
    copyNumbers(slots, baseOf(from), target, baseOf(ring) + straight, count - straight);
    return ring;
  }
}

/**
 * The log of one key, to be read: a view that is valid until the next write to its table.
 *
 * The newest timestamp is apart from the older ones, which are in a ring: most keys make one call, and need no ring.
 */
class KeyLog implements TimestampLog {
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

function emptyPage(records: number, keys: string[] = []): Page {
  return { keys, ids: allocated(() => new Int32Array(records)), keptUntil: undefined };
}

function copyNumbers(from: Float64Array, start: number, to: Float64Array, at: number, count: number): void {
  // A view of a few elements costs more than they do.
  if (count > 40) to.set(from.subarray(start, start + count), at);
  else for (let step = 0; step < count; step += 1) to[at + step] = from[start + step] as number;
}

/**
 * The same string in memory of its own. In V8 a key that was cut out of a header is a view of 13 characters or more that keeps
 * the whole header alive: up to 16 KB for each key.
 */
function copyOf(key: string): string {
  return key.length < 13 ? key : (JSON.parse(JSON.stringify(key)) as string);
}
