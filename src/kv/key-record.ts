import { StoreError } from "../core/errors.js";
import type { KeyLock } from "../core/locks.js";
import type { TimestampLog } from "../core/sliding-window.js";
import { MAX_MOVED } from "../store/store.js";

/** Numbers are written to base 36. */
const BASE = 36;

/** What a text of this version begins with. No store or parser takes it for a number, a date or JSON. */
const VERSION = "sg1";

/** Logs of one key, made in a row, have different ones with a probability of 1 - 2^-48. */
const EPOCHS = 2 ** 48;

/** Calls with one timestamp. */
interface Entry {
  readonly timestamp: number;
  /** The sum of their costs. */
  units: number;
}

/**
 * What a key-value store keeps of one key, and its text:
 *
 *     sg1 . epoch . latest . longest . lock . log .
 *
 * - `epoch` distinguishes a log from a later log of the same key, which a late refund must not change.
 * - `latest` is the latest time at which the key was changed. The time of the key never goes back before it.
 * - `longest` is the longest period of any release that has used the key. A timestamp is removed when it is older, and never for
 *   its depth, so that releases with different limits can share a key.
 * - `lock` is its end, `*` and the strikes; empty for none.
 * - `log` is a list of timestamps, oldest first, each followed by `*` and its units if they are more than 1. All but the first
 *   are the milliseconds after the one before.
 *
 * The dot at the end shows that a file was not cut off. All numbers are whole, and to base 36. A call takes 2 bytes if another has
 * the same timestamp, 4 bytes if one is recorded every few seconds, and 6 if one is recorded every hour.
 */
export class KeyRecord implements TimestampLog {
  epoch: number = Math.floor(Math.random() * EPOCHS);
  latest: number = -Infinity;
  longestMs: number = 0;
  lock: KeyLock | undefined;
  /** Oldest first; each timestamp once. */
  #entries: Entry[] = [];

  /**
   * Reads a text. An absent one is a key without calls.
   *
   * @throws StoreError for anything that {@link toString} cannot have written.
   */
  static parse(text: unknown): KeyRecord {
    const record = new KeyRecord();
    if (text === undefined) return record;
    if (typeof text !== "string") throw foreign();
    const [version, epoch, latest, longest, lock, log, end, ...rest] = text.split(".");
    if (version !== VERSION || log === undefined || end !== "" || rest.length > 0) throw foreign();
    record.epoch = numberIn(epoch);
    record.latest = numberIn(latest);
    record.longestMs = numberIn(longest);
    if (lock !== "") {
      const [lockedUntil, strikes, ...more] = (lock as string).split("*");
      if (more.length > 0) throw foreign();
      record.lock = { lockedUntil: numberIn(lockedUntil), strikes: numberIn(strikes) };
    }
    let timestamp = 0;
    for (const [at, item] of (log === "" ? [] : log.split(",")).entries()) {
      const [step, units, ...more] = item.split("*");
      const ms = numberIn(step);
      const count = units === undefined ? 1 : numberIn(units);
      if (more.length > 0 || (units !== undefined && count < 2) || (at > 0 && ms < 1)) throw foreign();
      timestamp += ms;
      if (!Number.isSafeInteger(timestamp)) throw foreign();
      record.#entries.push({ timestamp, units: count });
    }
    return record;
  }

  toString(): string {
    const { epoch, latest, longestMs, lock } = this;
    let before = 0;
    const log = this.#entries.map(({ timestamp, units }) => {
      const step = textOf(timestamp - before);
      before = timestamp;
      return units === 1 ? step : `${step}*${textOf(units)}`;
    });
    const ofLock = lock === undefined ? "" : `${textOf(lock.lockedUntil)}*${textOf(lock.strikes)}`;
    return [VERSION, textOf(epoch), textOf(latest), textOf(longestMs), ofLock, log.join(","), ""].join(".");
  }

  nthMostRecent(n: number): number {
    let left = n;
    for (let at = this.#entries.length - 1; at >= 0; at -= 1) {
      const { timestamp, units } = this.#entries[at] as Entry;
      if (units >= left) return timestamp;
      left -= units;
    }
    return -Infinity;
  }

  countAfter(instant: number): number {
    let count = 0;
    for (let at = this.#entries.length - 1; at >= 0; at -= 1) {
      const { timestamp, units } = this.#entries[at] as Entry;
      if (timestamp <= instant) break;
      count += units;
    }
    return count;
  }

  /** Adds a call. Precondition: no timestamp is later. */
  append(timestamp: number, units: number): void {
    const newest = this.#entries.at(-1);
    if (newest?.timestamp === timestamp) newest.units += units;
    else this.#entries.push({ timestamp, units });
  }

  /** Removes a call with this timestamp, unless more than `MAX_MOVED` timestamps are newer. Returns whether it removed any. */
  remove(timestamp: number, units: number): boolean {
    const entry = this.#entries.find((other) => other.timestamp === timestamp);
    if (entry === undefined || this.countAfter(timestamp) > MAX_MOVED) return false;
    entry.units -= units;
    if (entry.units <= 0) this.#entries = this.#entries.filter((other) => other !== entry);
    return true;
  }

  /** Keeps the timestamps later than `after` and up to `until`. */
  cut(after: number, until: number): void {
    this.#entries = this.#entries.filter(({ timestamp }) => timestamp > after && timestamp <= until);
  }

  /** Forgets calls and lock. The log that begins now is another one. */
  clear(): void {
    this.epoch = Math.floor(Math.random() * EPOCHS);
    this.lock = undefined;
    this.#entries = [];
  }
}

function textOf(number: number): string {
  return number.toString(BASE);
}

/** Parses a whole number as {@link textOf} writes it, and in no other form. */
function numberIn(text: string | undefined): number {
  const number = parseInt(text ?? "", BASE);
  if (!Number.isSafeInteger(number) || textOf(number) !== text) throw foreign();
  return number;
}

function foreign(): StoreError {
  return new StoreError("The value of a key was not written by this version of sluicegate");
}
