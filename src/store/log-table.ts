import type { Limit } from "../core/limit.js";
import { quietAfter } from "../core/sliding-window.js";
import type { TimestampLog } from "../core/timestamp-log.js";
import { append, createLog, nthMostRecent, placeOf, setPlace } from "../core/timestamp-log.js";

/** How many keys the tables of a store hold together. */
export interface Census {
  size: number;
}

/** Numbers logs across all tables, so that a log is never taken for one that was dropped. */
let lastEpoch = 0;

/**
 * The logs of one space, found by key, and by place as well: places are dense, so that a hand can walk over them, stop,
 * look ahead and go on, which the iterator of a `Map` cannot.
 *
 * Every string is a key like any other, because a `Map` has no prototype keys.
 */
export class LogTable {
  readonly #logs = new Map<string, TimestampLog>();
  // Two arrays of one element per place. The log carries its place, so that forgetting a key is O(1) too.
  #keyAt: string[] = [];
  #logAt: TimestampLog[] = [];
  readonly #census: Census;

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
    return this.#logAt.length;
  }

  /** The log of a key, or undefined for a key that has none. */
  get(key: string): TimestampLog | undefined {
    return this.#logs.get(key);
  }

  /** The log at a place. Precondition: 0 <= place < size. */
  at(place: number): TimestampLog {
    return this.#logAt[place] as TimestampLog;
  }

  /**
   * Records `cost` stamps for a key, whose log is made or grown as needed.
   *
   * @param log - what `get(key)` returned.
   * @returns the log the stamps are in.
   */
  record(key: string, log: TimestampLog | undefined, cost: number, stamp: number, now: number): TimestampLog {
    const before = log ?? this.#add(key);
    let after = before;
    for (let spent = 0; spent < cost; spent += 1) after = append(after, stamp, now - this.longestMs);
    if (after !== before) {
      this.#logs.set(key, after);
      this.#logAt[placeOf(after)] = after;
    }
    return after;
  }

  /** Whether no call in the log is live in any layer: forgetting it changes no answer. */
  isIdle(log: TimestampLog, now: number): boolean {
    return nthMostRecent(log, 1) <= now - this.longestMs;
  }

  /** Milliseconds until the log is idle, if no call is added. */
  idleAfter(log: TimestampLog, now: number): number {
    return quietAfter(log, this.longestMs, now);
  }

  /** Forgets the key at a place, which the key of the last place takes over. Precondition: 0 <= place < size. */
  forgetAt(place: number): void {
    this.#logs.delete(this.#keyAt[place] as string);
    const lastKey = this.#keyAt.pop() as string;
    const lastLog = this.#logAt.pop() as TimestampLog;
    this.#census.size -= 1;
    if (place === this.size) return;
    this.#keyAt[place] = lastKey;
    this.#logAt[place] = lastLog;
    setPlace(lastLog, place);
  }

  /** Forgets every key, at once however many they are. */
  clear(): void {
    this.#census.size -= this.size;
    this.#logs.clear();
    this.#keyAt = [];
    this.#logAt = [];
  }

  #add(key: string): TimestampLog {
    lastEpoch += 1;
    const log = createLog(this.size, lastEpoch);
    const own = copyOf(key);
    this.#logs.set(own, log);
    this.#keyAt.push(own);
    this.#census.size += 1;
    this.#logAt.push(log);
    return log;
  }
}

/**
 * The same string in memory of its own. A key cut out of a header is, in V8, a view that keeps the whole header alive:
 * 16 KB for each key, if its sender so wishes.
 */
function copyOf(key: string): string {
  return JSON.parse(JSON.stringify(key)) as string;
}
