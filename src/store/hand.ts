import { judge } from "../core/sliding-window.js";
import { countAfter } from "../core/timestamp-log.js";
import type { Census, LogTable } from "./log-table.js";

/** Entries the hand moves past for each admission: more than one, so that garbage cannot outgrow traffic. */
const SWEPT_PER_ADMISSION = 2;
/** The most keys the hand looks at to find room for a newcomer: what bounds the time that one call can take. */
const LOOKED_AT = 32;
/** Of those, how many with calls left are compared before one is chosen. */
const COMPARED = 8;

/** Where the hand stands: an entry of a table. */
interface Position {
  table: number;
  place: number;
}

/** What the hand found by looking ahead for room. */
interface Prospect {
  /** The key to forget; undefined where every key it looked at stands at its limit. */
  readonly victim: Position | undefined;
  /** Forgetting it loses live calls. */
  readonly isLive: boolean;
  /** Milliseconds until one of the keys it looked at could be forgotten; meaningful without a victim. */
  readonly wait: number;
  /** Where the hand stands afterwards. */
  readonly next: Position;
}

/**
 * The hand that keeps a store tidy: it goes round over all keys of all spaces, a few at a time, as calls are admitted.
 *
 * No timer and no full scan: a sweep of a million keys would stall the process for a second. It frees keys without a
 * live call, and finds room for newcomers when the store is full. **It never frees a key that stands at its limit**: an
 * attacker who floods the store with keys must not be able to wipe the one that keeps him out.
 */
export class Hand {
  readonly #tables: LogTable[] = [];
  readonly #maxKeys: number;
  #position: Position = { table: 0, place: 0 };
  #evictions = 0;

  /** Kept by the tables. */
  readonly census: Census = { size: 0 };

  constructor(maxKeys: number) {
    this.#maxKeys = maxKeys;
  }

  /** How many keys are remembered, over all spaces. */
  get size(): number {
    return this.census.size;
  }

  /** How many keys with live calls were freed for a newcomer. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Takes the table of a new space into the round. */
  add(table: LogTable): void {
    this.#tables.push(table);
  }

  /** Moves on after an admission, and frees the keys it passes of which no call is live. */
  sweep(now: number): void {
    const position = this.#position;
    for (let step = 0; step < SWEPT_PER_ADMISSION; step += 1) {
      const table = this.#tableAt(position);
      if (table === undefined) return;
      // The key of the last place takes over the freed one, so the hand stays to look at it.
      if (table.isIdle(table.at(position.place), now)) table.forgetAt(position.place);
      else position.place += 1;
    }
  }

  /** Milliseconds until there may be room for one more key; 0 when there is. Moves and frees nothing. */
  waitForRoom(now: number): number {
    if (this.size < this.#maxKeys) return 0;
    const { victim, wait } = this.#lookAhead(now);
    return victim === undefined ? wait : 0;
  }

  /**
   * Makes room for one more key, and returns 0; or moves on past keys that all stand at their limit, and returns the
   * milliseconds until one of them could be freed.
   */
  makeRoom(now: number): number {
    if (this.size < this.#maxKeys) return 0;
    const { victim, isLive, wait, next } = this.#lookAhead(now);
    this.#position = next;
    if (victim === undefined) return wait;
    if (isLive) this.#evictions += 1;
    this.#tableAt(victim)?.forgetAt(victim.place);
    return 0;
  }

  /**
   * Looks at up to 32 keys for one to forget: the first without a live call, else, of the first eight that have calls left,
   * the one with the fewest live calls, because its owner loses least.
   */
  #lookAhead(now: number): Prospect {
    const next = { ...this.#position };
    let victim: Position | undefined;
    let fewest = Infinity;
    let compared = 0;
    let wait = Infinity;
    for (let looked = Math.min(LOOKED_AT, this.size); looked > 0; looked -= 1) {
      const table = this.#tableAt(next);
      if (table === undefined) break;
      const log = table.at(next.place);
      if (table.isIdle(log, now)) return { victim: { ...next }, isLive: false, wait: 0, next };
      if (compared < COMPARED) {
        const untilCallsLeft = judge(log, table.limits, 1, now);
        if (untilCallsLeft === 0) {
          compared += 1;
          const live = countAfter(log, now - table.longestMs);
          if (live < fewest) {
            fewest = live;
            victim = { ...next };
          }
        } else {
          // A limit that was lowered to 0 never has calls left again; its keys are forgotten when they are idle.
          wait = Math.min(wait, untilCallsLeft, table.idleAfter(log, now));
        }
      }
      next.place += 1;
    }
    return { victim, isLive: true, wait, next };
  }

  /**
   * The table a position is in, once the position is on an entry: behind the last of one table comes the first of the
   * next. Undefined when there is no entry at all.
   */
  #tableAt(position: Position): LogTable | undefined {
    for (let passed = 0; passed <= this.#tables.length; passed += 1) {
      const table = this.#tables[position.table];
      if (table !== undefined && position.place < table.size) return table;
      position.table = position.table + 1 < this.#tables.length ? position.table + 1 : 0;
      position.place = 0;
    }
    return undefined;
  }
}
