import { judge } from "../core/sliding-window.js";
import type { Census, LogTable } from "./log-table.js";
import type { Position, Room, Spared, Victim } from "./room.js";

/** Entries the hand moves past for each admission: more than one, so that garbage cannot outgrow traffic. */
const SWEPT_PER_ADMISSION = 2;
/** The most keys the hand looks at to find room for a newcomer: what bounds the time that one call can take. */
const LOOKED_AT = 32;
/** Of those, how many with calls left are compared before one is chosen. */
const COMPARED = 8;

/** Places of a table are counted from here. */
const FIRST = 1;

/**
 * The hand that keeps a store tidy: it goes round over all keys of all spaces, a few at a time, as calls are admitted.
 *
 * No timer and no full scan: a sweep of a million keys would stall the process for a second. It frees keys without a
 * live call, and finds room for newcomers when the store is full. **It never frees a key that stands at its limit**: an
 * attacker who floods the store with keys must not be able to wipe the one that keeps him out.
 */
export class Hand {
  readonly #tables: LogTable[] = [];
  /** Where in `#tables` each table is: closing a space takes the same time however many there are. */
  readonly #indexes = new Map<LogTable, number>();
  readonly #maxKeys: number;
  readonly #evicts: boolean;
  #position = at({ table: 0, place: FIRST });
  #evictions = 0;
  /** How many keys it has passed in this round, all not idle, and the first instant at which one of them is. */
  #passed = 0;
  #firstIdle = Infinity;
  /** Until then no key can be idle; a refund apart, whose key it may find a period late. */
  #restsUntil = -Infinity;

  /** Kept by the tables. */
  readonly census: Census = { size: 0 };

  /** @param evicts - whether a newcomer may take the place of a key that has live calls, and calls left. */
  constructor(maxKeys: number, evicts: boolean) {
    this.#maxKeys = maxKeys;
    this.#evicts = evicts;
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
    this.#indexes.set(table, this.#tables.length);
    this.#tables.push(table);
    this.#restsUntil = -Infinity;
  }

  /** Takes the table of a closed space out of the round. @returns whether it was part of it. */
  remove(table: LogTable): boolean {
    const index = this.#indexes.get(table);
    if (index === undefined) return false;
    this.#indexes.delete(table);
    const last = this.#tables.pop() as LogTable;
    if (last !== table) {
      this.#tables[index] = last;
      this.#indexes.set(last, index);
    }
    if (this.#position.table === index) this.#position.place = FIRST;
    // The keys that were passed are fewer now, so the round begins again before the hand may rest.
    this.#passed = 0;
    this.#firstIdle = Infinity;
    return true;
  }

  /**
   * Moves on after an admission, and frees the keys it passes of which no call is live.
   *
   * Once it has passed all keys it rests until the first of them can be idle: where a few keys are called all the time, to
   * look at them again and again would cost as much as the calls.
   */
  sweep(now: number): void {
    if (now < this.#restsUntil) return;
    const position = this.#position;
    for (let step = 0; step < SWEPT_PER_ADMISSION; step += 1) {
      const table = this.#tableAt(position);
      if (table === undefined) return;
      const idleAfter = table.idleAfter(position.place, now);
      if (idleAfter === 0) {
        // The key of the last place takes over the freed one, so the hand stays to look at it.
        table.forgetAt(position.place);
      } else {
        position.place += 1;
        this.#passed += 1;
        this.#firstIdle = Math.min(this.#firstIdle, now + idleAfter);
      }
    }
    if (this.#passed >= this.size) this.#rest(now);
  }

  #rest(now: number): void {
    // A key that comes or calls from here on is not idle before a whole period of its space.
    const shortestMs = this.#tables.reduce((shortest, { longestMs }) => Math.min(shortest, longestMs), Infinity);
    this.#restsUntil = Math.min(this.#firstIdle, now + shortestMs);
    this.#passed = 0;
    this.#firstIdle = Infinity;
  }

  /**
   * Looks for room for some new keys, and changes nothing.
   *
   * @param spared - keys that are not to be forgotten, because they are asked about in the same call.
   */
  findRoom(newcomers: number, now: number, spared: readonly Spared[] = []): Room {
    const free = Math.max(0, this.#maxKeys - this.size);
    let next = this.#position;
    const victims: Victim[] = [];
    const taken: Spared[] = [...spared];
    let wait = 0;
    while (wait === 0 && free + victims.length < newcomers) {
      // Each from the same place on: what one left untaken may be all there is for the next.
      next = at(this.#position);
      const found = this.#lookFrom(next, now, taken);
      if (typeof found === "number") {
        wait = found;
      } else {
        victims.push(found);
        taken.push(found);
      }
    }
    return { places: free + victims.length, wait, victims, next };
  }

  /** Forgets what was found to be forgotten, and stands where the looking ended. */
  takeRoom(room: Room): void {
    this.moveOn(room);
    for (const { table, place, key, isLive } of room.victims) {
      if (isLive) this.#evictions += 1;
      // Mostly it is where it was, and its name need not be looked up.
      if (place <= table.size && table.keyAt(place) === key) table.forgetAt(place);
      else table.forget(key);
    }
  }

  /** Stands where the looking ended, and forgets nothing: a refused newcomer must not make the next look at the same keys. */
  moveOn({ next }: Room): void {
    this.#position = next;
    // The keys in between were not passed by the sweep: it has to begin another round before it can rest.
    this.#passed = 0;
    this.#firstIdle = Infinity;
  }

  /**
   * Makes room for one more key, and returns 0; or moves on past keys that are all to stay, and returns the milliseconds
   * until one of them could be freed.
   */
  makeRoom(now: number): number {
    if (this.size < this.#maxKeys) return 0;
    const room = this.findRoom(1, now);
    this.takeRoom(room);
    return room.wait;
  }

  /**
   * Looks at up to 32 keys from `position` on, which moves, for one to forget: the first without a live call, else, of the
   * first eight that have calls left, the one with the fewest live calls, because its owner loses least. Where there is
   * none it returns the milliseconds until one of them could be freed.
   */
  #lookFrom(position: Position, now: number, taken: readonly Spared[]): Victim | number {
    let victim: Victim | undefined;
    let fewest = Infinity;
    let compared = 0;
    let wait = Infinity;
    for (let looked = Math.min(LOOKED_AT, this.size); looked > 0; looked -= 1) {
      const table = this.#tableAt(position);
      if (table === undefined) break;
      const { place } = position;
      position.place += 1;
      if (isAmong(taken, table, place)) continue;
      const idleAfter = table.idleAfter(place, now);
      if (idleAfter === 0) return { table, place, key: table.keyAt(place), isLive: false };
      const untilCallsLeft = this.#evicts ? judge(table.logAt(place), table.limits, 1, now) : Infinity;
      // Where no calls are ever left, of a limit that was lowered to 0 or in a store that evicts nobody, a key stays until it
      // is idle.
      wait = Math.min(wait, untilCallsLeft, idleAfter);
      if (untilCallsLeft > 0 || compared === COMPARED) continue;
      compared += 1;
      const live = table.logAt(place).countAfter(now - table.longestMs);
      if (live >= fewest) continue;
      fewest = live;
      victim = { table, place, key: table.keyAt(place), isLive: true };
    }
    return victim ?? wait;
  }

  /**
   * The table a position is in, once the position is on an entry: behind the last of one table comes the first of the
   * next. Undefined when there is no entry at all.
   */
  #tableAt(position: Position): LogTable | undefined {
    const table = this.#tables[position.table];
    return table !== undefined && position.place <= table.size ? table : this.#nextTable(position);
  }

  /** Apart from the common case, which is asked twice for each admission and is small enough to be inlined. */
  #nextTable(position: Position): LogTable | undefined {
    position.place = FIRST;
    for (let left = this.#tables.length; left > 0; left -= 1) {
      position.table = position.table + 1 < this.#tables.length ? position.table + 1 : 0;
      const table = this.#tables[position.table];
      if (table !== undefined && table.size > 0) return table;
    }
    return undefined;
  }
}

/** By hand, and not by `some`: it is asked for each key that is looked at, mostly of nobody. */
function isAmong(taken: readonly Spared[], table: LogTable, place: number): boolean {
  for (const other of taken) if (other.place === place && other.table === table) return true;
  return false;
}

/** A position that moves on its own. Made here only: a spread makes objects of another shape, and every sweep slower. */
function at({ table, place }: Position): Position {
  return { table, place };
}
