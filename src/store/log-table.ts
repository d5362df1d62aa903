import { headroom } from "../core/headroom.js";
import type { Limit } from "../core/limit.js";
import { quietAfter } from "../core/sliding-window.js";
import type { TimestampLog } from "../core/timestamp-log.js";
import { NOWHERE, TimestampLogs } from "../core/timestamp-logs.js";
import { KeyList } from "./key-list.js";
import { PlaceIndex } from "./place-index.js";

/** How many keys the tables of a store hold together. */
export interface Census {
  size: number;
}

/**
 * The logs of one space, found by key, and by place as well: places are dense, so that a hand can walk over them, stop,
 * look ahead and go on, which the iterator of a `Map` cannot.
 *
 * Every string is a key like any other, because a `Map` has no prototype keys.
 */
export class LogTable {
  readonly #places = new PlaceIndex();
  /** In the order of places, which begin with 1. */
  readonly #keys = new KeyList();
  readonly #logs = new TimestampLogs();
  #census: Census;

  /** How long a stamp can matter to this space. */
  readonly longestMs: number;

  /**
   * The limits last asked of this space: they tell which of its keys stand at their limit. One that was cut since is known
   * from the next call of this space on.
   */
  limits: readonly Limit[] = [];

  /** @param census - counts the keys of this table among others. */
  constructor(longestMs: number, census: Census) {
    this.longestMs = longestMs;
    this.#census = census;
  }

  /** How many keys are remembered, those included of which no call is live any more. */
  get size(): number {
    return this.#logs.size;
  }

  /** The place of a key's log, or {@link NOWHERE} for a key that has none. It holds until a key is forgotten. */
  placeOf(key: string): number {
    return this.#places.get(key) ?? NOWHERE;
  }

  /** The log at a place, to be read until the next look at any, or the next write; at {@link NOWHERE} an empty one. */
  logAt(place: number): TimestampLog {
    return this.#logs.at(place);
  }

  /** Which log is at a place: a number that no other log of this table has. Precondition: 1 <= place <= size. */
  epochAt(place: number): number {
    return this.#logs.epochOf(place);
  }

  /** Whose log is at a place. Precondition: 1 <= place <= size. */
  keyAt(place: number): string {
    return this.#keys.at(place - 1);
  }

  /**
   * Records `cost` stamps for a key, whose log is made as needed.
   *
   * @param place - what `placeOf(key)` returned.
   * @returns the place of its log.
   * @throws StoreError when there is no memory for them; none is recorded then.
   */
  record(key: string, place: number, cost: number, stamp: number, now: number): number {
    const own = place === NOWHERE ? this.#add(key) : place;
    const horizon = now - this.longestMs;
    // Where that fails, a new key is left with an empty log, which is idle.
    if (cost > 1) this.#logs.reserve(own, cost, horizon);
    for (let spent = 0; spent < cost; spent += 1) this.#logs.append(own, stamp, horizon);
    return own;
  }

  /** Takes back up to `cost` of the stamps that equal `stamp`, and forgets a key that is left with none. */
  takeBack(place: number, stamp: number, cost: number): boolean {
    const taken = this.#logs.removeStamps(place, stamp, cost);
    if (this.logAt(place).isEmpty) this.forgetAt(place);
    return taken > 0;
  }

  /** Milliseconds until no call in the log is live in any layer, so that forgetting it changes no answer; 0 when none is. */
  idleAfter(place: number, now: number): number {
    return quietAfter(this.logAt(place), this.longestMs, now);
  }

  /** Forgets the key at a place, which the key of the last place takes over. Precondition: 1 <= place <= size. */
  forgetAt(place: number): void {
    headroom();
    this.#places.delete(this.keyAt(place));
    const last = this.#keys.pop();
    if (place !== this.size) {
      this.#keys.set(place - 1, last);
      this.#places.set(last, place);
    }
    this.#logs.remove(place);
    this.#census.size -= 1;
  }

  /** Forgets a key, if it is remembered. */
  forget(key: string): void {
    const place = this.placeOf(key);
    if (place !== NOWHERE) this.forgetAt(place);
  }

  /** Forgets every key, at once however many they are. */
  clear(): void {
    headroom();
    this.#census.size -= this.size;
    this.#places.clear();
    this.#keys.clear();
    this.#logs.clear();
  }

  /** Forgets every key, and counts no further one among the store's: a call that arrives late leaves nothing in the store. */
  close(): void {
    this.clear();
    this.#census = { size: 0 };
  }

  #add(key: string): number {
    // Whatever may fail comes before the first write.
    const own = copyOf(key);
    headroom();
    const place = this.#logs.add();
    this.#places.set(own, place);
    this.#keys.push(own);
    this.#census.size += 1;
    return place;
  }
}

/**
 * The same string in memory of its own. A key cut out of a header is, in V8, a view that keeps the whole header alive:
 * 16 KB for each key, if its sender so wishes.
 */
function copyOf(key: string): string {
  return JSON.parse(JSON.stringify(key)) as string;
}
