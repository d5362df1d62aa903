import type { Receipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { passes, quietAfter, survey } from "../core/sliding-window.js";
import type { StoreTime } from "../core/store-time.js";
import { NOWHERE } from "../core/timestamp-logs.js";
import type { Hand } from "./hand.js";
import type { LogTable } from "./log-table.js";
import type { Spared } from "./room.js";
import type { KeyState, Space, Verdict } from "./store.js";

/** What the spaces of one memory store share. */
export interface MemoryStoreParts {
  readonly time: StoreTime;
  readonly hand: Hand;
}

/**
 * One space of a `MemoryStore`. Every verb runs in one piece from the moment it has read the clock, which is all that it
 * calls of others' code: so every verb answers at once, and no two are ever under way together.
 */
export class MemorySpace implements Space {
  readonly #parts: MemoryStoreParts;
  readonly #table: LogTable;
  readonly #release: () => void;

  /** @param release - takes this space out of its store. */
  constructor(parts: MemoryStoreParts, table: LogTable, release: () => void) {
    this.#parts = parts;
    this.#table = table;
    this.#release = release;
  }

  /** The verb that is called for its speed. */
  admit(key: string, limits: readonly Limit[], cost: number): boolean {
    const { time, hand } = this.#parts;
    const table = this.#table;
    const place = this.look(key, limits);
    if (!passes(table.logAt(place), limits, cost, time.now)) return false;
    if (place === NOWHERE && hand.makeRoom(time.now) > 0) return false;
    table.record(key, place, cost, time.stamp, time.now);
    hand.sweep(time.now);
    return true;
  }

  check(key: string, limits: readonly Limit[], cost: number): Verdict {
    const place = this.look(key, limits);
    const isAdmissible = passes(this.#table.logAt(place), limits, cost, this.#now);
    const roomWait = isAdmissible && place === NOWHERE ? this.#parts.hand.makeRoom(this.#now) : 0;
    if (!isAdmissible || roomWait > 0) return this.verdict(place, limits, cost, roomWait);
    return this.#spent(key, place, limits, cost);
  }

  peek(key: string, limits: readonly Limit[], cost: number): Verdict {
    const place = this.look(key, limits);
    const isAdmissible = passes(this.#table.logAt(place), limits, cost, this.#now);
    const roomWait = isAdmissible && place === NOWHERE ? this.#parts.hand.findRoom(1, this.#now).wait : 0;
    return this.verdict(place, limits, cost, roomWait);
  }

  reset(key?: string): void {
    this.#parts.time.refuseItsClock();
    if (key === undefined) this.#table.clear();
    else this.#table.forget(key);
  }

  state(key: string): KeyState {
    this.#parts.time.read();
    const lastReset = this.#now - this.#table.longestMs;
    return { calls: this.#table.logAt(this.#table.placeOf(key)).countAfter(lastReset), lastReset };
  }

  close(): void {
    this.#parts.time.refuseItsClock();
    this.#release();
    this.#table.close();
  }

  get #now(): number {
    return this.#parts.time.now;
  }

  /** Moves the store to the present, and returns the place of the key's log. For the store. */
  look(key: string, limits: readonly Limit[]): number {
    this.#parts.time.read();
    this.#table.limits = limits;
    return this.#table.placeOf(key);
  }

  /** Whether the limits let a call pass at the store's present, without a look at the clock. For the store. */
  passes(key: string, limits: readonly Limit[], cost: number): boolean {
    return passes(this.#table.logAt(this.#table.placeOf(key)), limits, cost, this.#now);
  }

  /** The key whose log is at a place, as one that is not to be forgotten. For the store. */
  spared(place: number): Spared {
    return { table: this.#table, place };
  }

  /** Records a call that passes, without another look at the clock. For the store. */
  spend(key: string, limits: readonly Limit[], cost: number): Verdict {
    return this.#spent(key, this.#table.placeOf(key), limits, cost);
  }

  #spent(key: string, before: number, limits: readonly Limit[], cost: number): Verdict {
    const { time, hand } = this.#parts;
    const place = this.#table.record(key, before, cost, time.stamp, time.now);
    const receipt = this.#receipt(key, this.#table.epochAt(place), cost);
    // Asked what is left, and not whether the same would pass again: a further cost of 0 passes in every layer.
    const verdict = this.verdict(place, limits, 0, 0, receipt);
    // The last: it moves logs from place to place.
    hand.sweep(time.now);
    return verdict;
  }

  /** What each limit says to a call, as a verdict. For the store. */
  verdict(place: number, limits: readonly Limit[], cost: number, roomWait: number, receipt?: Receipt): Verdict {
    const log = this.#table.logAt(place);
    const layers = survey(log, limits, cost, this.#now);
    return {
      retryAfterMs: layers.reduce((wait, { retryAfterMs }) => Math.max(wait, retryAfterMs), roomWait),
      resetAfterMs: quietAfter(log, this.#table.longestMs, this.#now),
      layers,
      noRoom: roomWait > 0,
      source: "memory",
      receipt,
    };
  }

  #receipt(key: string, epoch: number, cost: number): Receipt {
    const { stamp } = this.#parts.time;
    let isRefunded = false;
    return {
      refund: () => {
        if (isRefunded) return false;
        const isTaken = this.#takeBack(key, epoch, stamp, cost);
        // Not before: where the clock fails there is another try.
        isRefunded = true;
        return isTaken;
      },
    };
  }

  /** Takes back a spend, unless it has expired or its log was dropped: a later log's calls are not its to take. */
  #takeBack(key: string, epoch: number, stamp: number, cost: number): boolean {
    this.#parts.time.read();
    const table = this.#table;
    const place = table.placeOf(key);
    if (place === NOWHERE || table.epochAt(place) !== epoch || stamp <= this.#now - table.longestMs) return false;
    return table.takeBack(place, stamp, cost);
  }
}
