import { retryAfter } from "../../core/sliding-window.js";
import type { KeyTable } from "./key-table.js";

/**
 * The most keys that one sweep visits. A sweep runs at each 8th admission: three visits for each key that can come. With two,
 * idle keys grow to several times the others, because the key that moves to the place of an idle one is visited too early.
 */
const SWEPT = 24;
/** The most keys that are visited to find a victim: the bound on the time of one call. */
const VISITED = 32;
/** Of those, how many that have calls left are compared before one is chosen. */
const COMPARED = 8;

const FIRST_PLACE = 1;

/** A key of a table. */
export interface KeyRef {
  readonly table: KeyTable;
  readonly place: number;
}

/** A key to forget. */
interface Victim extends KeyRef {
  /** It has unexpired timestamps or strikes, which are lost. */
  readonly isLive: boolean;
}

/** What to forget so that new keys have room. */
export interface EvictionPlan {
  /** How many of the new keys have room: the first ones, in order. */
  readonly roomFor: number;
  /** Milliseconds until there may be room for the next; 0 if there is room for all. */
  readonly waitMs: number;
  readonly victims: readonly Victim[];
  /** Where the next search begins. */
  readonly next: Position;
}

interface Position {
  table: number;
  place: number;
}

/**
 * Keeps the tables of a store within its cap, and forgets idle keys: those whose timestamps have all expired, without a lock or
 * strikes.
 *
 * It visits the keys of all tables in turn, a few at a time, while calls are admitted (CLOCK replacement). There is no timer
 * and no full scan, which would stop the process for a second among a million keys.
 *
 * **It never evicts a key that is at its limit** or locked, nor one with a refused call of another cost or `maxCalls`, until that call
 * would be admitted: a client that floods the store with keys must not free the key by which it is limited.
 *
 * Half of the cap is reserved for the tables in equal parts, and any table may use the rest: one limiter's keys cannot keep
 * out another's.
 */
export class Evictor {
  readonly #maxKeys: number;
  readonly #evicts: boolean;
  readonly #tables: KeyTable[] = [];
  /** How many keys each table may have in any case. */
  #reserved: number;
  /** How many more keys certainly have room, whichever tables they are added to: so that not every new key counts all tables. */
  #unclaimed = 0;
  #evictions = 0;
  #position = positionAt(0, FIRST_PLACE);
  /** The sweep has visited every key since the first one of the first table. */
  #isWholeRound = true;
  /** The first instant at which a key that was visited in this round is idle. */
  #firstIdle = Infinity;
  /** No key is idle before. Only a refund or an unlock can make one idle earlier, which is then found at most a period late. */
  #sleepsUntil = -Infinity;

  /** @param evicts - whether a new key may replace a key that has unexpired timestamps, and calls left. */
  constructor(maxKeys: number, evicts: boolean) {
    this.#maxKeys = maxKeys;
    this.#evicts = evicts;
    this.#reserved = maxKeys;
  }

  /** The number of keys of all tables. */
  get size(): number {
    let size = 0;
    for (const table of this.#tables) size += table.size;
    return size;
  }

  /** How many keys with unexpired timestamps or strikes were replaced by new keys. */
  get evictions(): number {
    return this.#evictions;
  }

  /** Adds the table of a namespace that is opened. */
  add(table: KeyTable): void {
    this.#tables.push(table);
    this.#sleepsUntil = -Infinity;
    this.#share();
  }

  /** Removes the table of a namespace that is closed. @returns false if it was removed before. */
  remove(table: KeyTable): boolean {
    const index = this.#tables.indexOf(table);
    if (index < 0) return false;
    this.#tables.splice(index, 1);
    const position = this.#position;
    // A position in the table that is gone begins anew, in the next one.
    if (position.table === index) position.place = FIRST_PLACE;
    if (position.table > index) position.table -= 1;
    if (position.table === this.#tables.length) position.table = 0;
    this.#isWholeRound = false;
    this.#share();
    return true;
  }

  /** Forgets the idle ones of the next 24 keys. */
  sweep(now: number): void {
    if (now < this.#sleepsUntil) return;
    const position = this.#position;
    for (let step = 0; step < SWEPT; step += 1) {
      const table = this.#tables[position.table];
      if (table === undefined) return;
      if (position.place > table.size) {
        if (this.#nextTable(position)) {
          this.#startRound(now);
          if (now < this.#sleepsUntil) return;
        }
        continue;
      }
      const idleAt = table.idleAt(position.place);
      if (idleAt > now) {
        position.place += 1;
        if (idleAt < this.#firstIdle) this.#firstIdle = idleAt;
      } else {
        // The key of the last place moves here, and is visited next.
        table.forgetAt(position.place);
      }
    }
  }

  /**
   * Makes room for one more key of a table, and returns 0; or, where no key may be forgotten, returns the milliseconds until one
   * may be.
   */
  makeRoom(table: KeyTable, now: number): number {
    if (this.#unclaimed > 0) {
      this.#unclaimed -= 1;
      return 0;
    }
    const plan = this.plan([table], now);
    this.carryOut(plan);
    return plan.waitMs;
  }

  /**
   * Finds room for one new key in each of some tables, and changes nothing.
   *
   * @param excluded - keys that must not be forgotten, because the same call is about them.
   */
  plan(newKeys: readonly KeyTable[], now: number, excluded: readonly KeyRef[] = []): EvictionPlan {
    const victims: Victim[] = [];
    let next = this.#position;
    for (const [index, table] of newKeys.entries()) {
      const added = newKeys.slice(0, index);
      const sizeOf = (other: KeyTable): number =>
        other.size + Number(added.includes(other)) - victims.filter((victim) => victim.table === other).length;
      const { free, common } = this.#left(sizeOf);
      if (free > 0 && (common > 0 || sizeOf(table) < this.#reserved)) continue;
      // Each search begins at the same position: a key that helps no earlier table may be the only one that helps this table.
      next = positionAt(this.#position.table, this.#position.place);
      const victim = this.#find(table, sizeOf, next, now, [...excluded, ...victims]);
      if (typeof victim === "number") return { roomFor: index, waitMs: victim, victims, next };
      victims.push(victim);
    }
    return { roomFor: newKeys.length, waitMs: 0, victims, next };
  }

  /** Forgets the victims of a plan, and moves on to where its search ended. */
  carryOut({ victims, next, roomFor }: EvictionPlan): void {
    // The last places first: forgetting a key moves the last one of its table.
    for (const { table, place, isLive } of [...victims].sort((one, other) => other.place - one.place)) {
      if (isLive) this.#evictions += 1;
      table.forgetAt(place);
    }
    if (next !== this.#position) this.#moveTo(next);
    const { free, common } = this.#left(({ size }) => size);
    this.#unclaimed = Math.max(0, Math.min(free, common) - roomFor);
  }

  /** Moves on to where a search ended without room, so that the next search visits other keys. */
  moveOn({ next }: EvictionPlan): void {
    this.#moveTo(next);
  }

  #moveTo(position: Position): void {
    this.#position = position;
    // The sweep has not visited the keys in between: it has to begin another round before it can sleep.
    this.#isWholeRound = false;
  }

  /** Divides one half of the cap among the tables. */
  #share(): void {
    this.#reserved = Math.floor(Math.floor(this.#maxKeys / 2) / Math.max(1, this.#tables.length));
    this.#unclaimed = 0;
  }

  /** How many more keys the store, and its common half, have room for if each table has the size that `sizeOf` returns. */
  #left(sizeOf: (table: KeyTable) => number): { readonly free: number; readonly common: number } {
    let free = this.#maxKeys;
    let common = this.#maxKeys - this.#reserved * this.#tables.length;
    for (const table of this.#tables) {
      const size = sizeOf(table);
      free -= size;
      common -= Math.max(0, size - this.#reserved);
    }
    return { free, common };
  }

  /**
   * Finds a key to replace by a key of `table`. A key of another table helps only if that table has more keys than are reserved
   * for it. If those are all at their limit, the table can still replace one of its own.
   *
   * @param sizeOf - the size of a table after what is planned already.
   * @param position - where to begin; it moves.
   * @returns the milliseconds until one of the visited keys can be replaced, if none can now.
   */
  #find(
    table: KeyTable,
    sizeOf: (table: KeyTable) => number,
    position: Position,
    now: number,
    excluded: readonly KeyRef[],
  ): Victim | number {
    const start = positionAt(this.#tables.indexOf(table), FIRST_PLACE + (position.place % Math.max(1, table.size)));
    const victim = this.#search((other) => other === table || sizeOf(other) > this.#reserved, position, now, excluded);
    if (typeof victim !== "number" || this.#tables.length === 1) return victim;
    const own = this.#search((other) => other === table, start, now, excluded);
    return typeof own === "number" ? Math.min(victim, own) : own;
  }

  /**
   * Visits up to 32 keys of the tables that help, for one to forget: the first idle one; else, of the first eight that have calls
   * left, the one with the fewest unexpired timestamps, because it loses least.
   */
  #search(
    helps: (table: KeyTable) => boolean,
    position: Position,
    now: number,
    excluded: readonly KeyRef[],
  ): Victim | number {
    let victim: Victim | undefined;
    let fewest = Infinity;
    let compared = 0;
    let wait = Infinity;
    let tablesLeft = this.#tables.length;
    for (let visited = 0; visited < VISITED;) {
      const other = this.#tables[position.table];
      if (other === undefined || !helps(other) || position.place > other.size) {
        if (tablesLeft === 0) break;
        tablesLeft -= 1;
        this.#nextTable(position);
        continue;
      }
      const { place } = position;
      position.place += 1;
      visited += 1;
      if (excluded.some((key) => key.place === place && key.table === other)) continue;
      const idleAfter = other.idleAt(place) - now;
      if (idleAfter <= 0) return { table: other, place, isLive: false };
      const hasCallsAfter = this.#evicts ? replaceableAfter(other, place, now) : Infinity;
      // A key that never has calls left, of a limit that was lowered to 0 or in a store that evicts none, stays until it is idle.
      wait = Math.min(wait, hasCallsAfter, idleAfter);
      if (hasCallsAfter > 0 || compared === COMPARED) continue;
      compared += 1;
      const unexpired = other.logAt(place).countAfter(now - other.longestMs);
      if (unexpired >= fewest) continue;
      fewest = unexpired;
      victim = { table: other, place, isLive: true };
    }
    return victim ?? wait;
  }

  /** Moves a position to the next table. Returns true if that is the first one again. */
  #nextTable(position: Position): boolean {
    position.place = FIRST_PLACE;
    position.table = position.table + 1 < this.#tables.length ? position.table + 1 : 0;
    return position.table === 0;
  }

  #startRound(now: number): void {
    // A key that comes or calls from here on is not idle before a whole period of its table.
    const shortestMs = this.#tables.reduce((shortest, { longestMs }) => Math.min(shortest, longestMs), Infinity);
    if (this.#isWholeRound) this.#sleepsUntil = Math.min(this.#firstIdle, now + shortestMs);
    this.#isWholeRound = true;
    this.#firstIdle = Infinity;
  }
}

/** Milliseconds until a key may be replaced although it is not idle. */
function replaceableAfter(table: KeyTable, place: number, now: number): number {
  const keptUntil = Math.max(table.keptUntil(place), table.lockAt(place)?.lockedUntil ?? -Infinity);
  return Math.max(retryAfter(table.logAt(place), table.limits, 1, now), keptUntil - now);
}

/** A position that moves on its own. */
function positionAt(table: number, place: number): Position {
  return { table, place };
}
