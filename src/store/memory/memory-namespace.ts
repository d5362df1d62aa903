import type { SyncReceipt } from "../../core/decision.js";
import { StoreError } from "../../core/errors.js";
import type { Limit } from "../../core/limit.js";
import { isNewer, lockedForMs, strike } from "../../core/locks.js";
import { allows, emptyAfter, retryAfter, status } from "../../core/sliding-window.js";
import type { KeyState, SyncNamespace, SyncStoreResult } from "../store.js";
import { keyState, lockStatus, MAX_MOVED } from "../store.js";
import type { StoreTime } from "../store-time.js";
import type { Evictor } from "./evictor.js";
import type { KeyTable } from "./key-table.js";
import { NOWHERE } from "./key-table.js";

/** Admissions from one sweep to the next. */
const SWEEP_EVERY = 8;

/**
 * One namespace of a `MemoryStore`. The clock is the only foreign code that its methods call, and they read it first. From then
 * on a method runs without interruption, so no two methods of a store overlap.
 */
export class MemoryNamespace implements SyncNamespace {
  /** The time and the evictor of its store, which other namespaces share, and its own table. Calls of several keys read them. */
  readonly time: StoreTime;
  readonly evictor: Evictor;
  readonly table: KeyTable;
  readonly #release: () => void;
  /** Admissions since the last sweep. */
  #admissions = 0;

  /** @param release - takes this namespace out of its store. */
  constructor(time: StoreTime, evictor: Evictor, table: KeyTable, release: () => void) {
    this.time = time;
    this.evictor = evictor;
    this.table = table;
    this.#release = release;
  }

  admit(key: string, limits: readonly Limit[], cost: number): boolean {
    const { time, table } = this;
    time.read();
    const place = this.find(key, limits);
    const isAdmitted =
      place !== NOWHERE && cost === 1 && table.limits === limits && table.locks === undefined
        ? table.admitOne(place, limits, time.now, time.timestamp)
        : this.#allowsOther(place, key, limits, cost, this.isLocked(key), true) &&
          this.#recordIfRoom(place, key, limits, cost) === 0;
    if (isAdmitted) this.#sweepSometimes();
    return isAdmitted;
  }

  check(key: string, limits: readonly Limit[], cost: number, mayStrike: boolean = true): SyncStoreResult {
    const { time, table } = this;
    time.read();
    const place = this.find(key, limits);
    if (place === NOWHERE || cost !== 1 || table.limits !== limits || table.locks !== undefined) {
      const isLocked = this.isLocked(key);
      if (!this.#allowsOther(place, key, limits, cost, isLocked, mayStrike)) {
        return this.result(place, key, limits, cost, isLocked);
      }
      const waitForRoomMs = this.#recordIfRoom(place, key, limits, cost);
      if (waitForRoomMs !== 0) return this.result(place, key, limits, cost, false, waitForRoomMs);
    } else if (!table.admitOne(place, limits, time.now, time.timestamp)) {
      return this.result(place, key, limits, cost, false);
    }
    // A new key has the last place.
    return this.#recorded(place === NOWHERE ? table.size : place, key, limits, cost);
  }

  peek(key: string, limits: readonly Limit[], cost: number): SyncStoreResult {
    this.time.read();
    const place = this.find(key, limits);
    const needsRoom = place === NOWHERE && this.allows(place, limits, cost);
    const waitForRoomMs = needsRoom ? this.evictor.plan([this.table], this.time.now).waitMs : 0;
    return this.result(place, key, limits, cost, this.isLocked(key), waitForRoomMs);
  }

  reset(key?: string, lockedUntil?: number | null): boolean {
    this.time.assertNotReading();
    if (key !== undefined && lockedUntil !== undefined) {
      this.time.read();
      if (isNewer(this.table.lockOf(key, this.time.now), lockedUntil)) return false;
    }
    const place = key === undefined ? NOWHERE : this.table.placeOf(key);
    if (key === undefined) this.table.clear();
    else if (place !== NOWHERE) this.table.forgetAt(place);
    return true;
  }

  state(key: string): KeyState {
    this.time.read();
    const { now } = this.time;
    const lastReset = now - this.table.longestMs;
    const calls = this.table.logAt(this.table.placeOf(key)).countAfter(lastReset);
    return keyState(calls, lastReset, this.table.lockOf(key, now), now);
  }

  lock(key: string, ms: number): void {
    const { time, table } = this;
    time.read();
    const known = table.placeOf(key);
    if (known === NOWHERE && this.evictor.makeRoom(table, time.now) > 0) {
      throw new StoreError("There is no room for a key to lock");
    }
    const place = known === NOWHERE ? table.add(key) : known;
    table.lock(place, { lockedUntil: time.now + ms, strikes: table.lockOf(key, time.now)?.strikes ?? 0 });
  }

  unlock(key: string, lockedUntil?: number | null): boolean {
    this.time.read();
    const lock = this.table.lockOf(key, this.time.now);
    if (lock === undefined || isNewer(lock, lockedUntil)) return false;
    this.table.locks?.delete(key);
    return true;
  }

  close(): void {
    this.time.assertNotReading();
    this.#release();
    this.table.clear();
  }

  /** The place of a key that is called with these limits. They become those of the table, unless only this call has them. */
  find(key: string, limits: readonly Limit[]): number {
    if (this.table.limits !== limits && limits[0]?.ofCall !== true) this.table.limits = limits;
    return this.table.placeOf(key);
  }

  /** Whether every limit allows a call at the store's present. */
  allows(place: number, limits: readonly Limit[], cost: number): boolean {
    return allows(this.table.logAt(place), limits, cost, this.time.now);
  }

  /** Whether a key is locked at the store's present. */
  isLocked(key: string): boolean {
    return lockedForMs(this.table.lockOf(key, this.time.now), this.time.now) > 0;
  }

  /** Records a call that every limit allows, and for which there is room. */
  record(place: number, key: string, limits: readonly Limit[], cost: number): SyncStoreResult {
    return this.#recorded(this.#append(place, key, limits, cost), key, limits, cost);
  }

  /**
   * The result of a call that was refused or, with a receipt, recorded.
   *
   * @param isLocked - whether the key was locked before the call.
   * @param waitForRoomMs - milliseconds until there may be room for its key, if that is all it lacks.
   */
  result(
    place: number,
    key: string,
    limits: readonly Limit[],
    cost: number,
    isLocked: boolean,
    waitForRoomMs: number = 0,
    receipt?: SyncReceipt,
  ): SyncStoreResult {
    const { now } = this.time;
    const log = this.table.logAt(place);
    const layers = status(log, limits, cost, now);
    const lock = this.table.locks && lockStatus(this.table.lockOf(key, now), isLocked, now);
    let retryAfterMs = Math.max(waitForRoomMs, lock?.lockedForMs ?? 0);
    for (const layer of layers) retryAfterMs = Math.max(retryAfterMs, layer.retryAfterMs);
    return {
      retryAfterMs,
      resetAfterMs: emptyAfter(log, this.table.longestMs, now),
      layers,
      lock,
      noRoom: waitForRoomMs > 0,
      source: "memory",
      receipt,
    };
  }

  /** Notes a refusal for the evictor, and locks the key if it is a strike. */
  noteRefusal(place: number, key: string, limits: readonly Limit[], cost: number, mayStrike: boolean): void {
    const { policy } = this.table;
    this.#keepRefused(place, limits, cost);
    if (policy === undefined || !mayStrike) return;
    const { now } = this.time;
    const lock = strike(this.table.lockOf(key, now), policy, this.table.logAt(place), limits, cost, now);
    // The limits refuse no call of a key without a log and allow it later, so the key has a place.
    if (lock !== undefined) this.table.lock(place, lock);
  }

  /**
   * Notes when a refused call would be admitted: until then its key is not evicted. The evictor itself only determines whether
   * a call of cost 1 would be admitted by the limits of the table.
   */
  #keepRefused(place: number, limits: readonly Limit[], cost: number): void {
    if (place === NOWHERE || (cost === 1 && this.table.limits === limits)) return;
    const waitMs = retryAfter(this.table.logAt(place), limits, cost, this.time.now);
    // A call that can never be admitted gains nothing by the loss of a log.
    if (waitMs < Infinity) this.table.keepUntil(place, this.time.now + waitMs);
  }

  /** Refunds a call, unless it has expired or its log is gone: nothing may be removed from a later log of the key. */
  refund(key: string, id: number, timestamp: number, cost: number): boolean {
    this.time.read();
    const table = this.table;
    const place = table.placeOf(key);
    if (place === NOWHERE || table.idAt(place) !== id || timestamp <= this.time.now - table.longestMs) return false;
    return table.removeTimestamps(place, timestamp, cost, MAX_MOVED) > 0;
  }

  /**
   * Whether a call is allowed of a new key, of a cost above 1, with its own limits, or of a limiter with locks. Notes a refusal.
   */
  #allowsOther(
    place: number,
    key: string,
    limits: readonly Limit[],
    cost: number,
    isLocked: boolean,
    mayStrike: boolean,
  ): boolean {
    const isAllowed = !isLocked && this.allows(place, limits, cost);
    if (!isAllowed) this.noteRefusal(place, key, limits, cost, mayStrike && !isLocked);
    return isAllowed;
  }

  /** Records a call that every limit allows, if there is room for its key. Returns 0, or the milliseconds until there may be room. */
  #recordIfRoom(place: number, key: string, limits: readonly Limit[], cost: number): number {
    const waitForRoomMs = place === NOWHERE ? this.evictor.makeRoom(this.table, this.time.now) : 0;
    if (waitForRoomMs === 0) this.#append(place, key, limits, cost);
    return waitForRoomMs;
  }

  #append(place: number, key: string, limits: readonly Limit[], cost: number): number {
    const own = place === NOWHERE ? this.table.add(key) : place;
    // If this fails, a new key stays with an empty log, which is idle.
    this.table.append(own, cost, this.time.now, this.time.timestamp);
    // The next call may be refused, and the evictor must spare the key before that as well, as it does by the limits of the table.
    if (this.table.limits !== limits) this.#keepRefused(own, limits, cost);
    return own;
  }

  /** The result of a call that has been recorded. */
  #recorded(place: number, key: string, limits: readonly Limit[], cost: number): SyncStoreResult {
    const receipt = new MemoryReceipt(this, key, this.table.idAt(place), this.time.timestamp, cost);
    // With a cost of 0 every `retryAfterMs` is 0. With the own cost it would be the wait for another call of that cost.
    const result = this.result(place, key, limits, 0, false, 0, receipt);
    // Last, because a sweep moves keys from place to place.
    this.#sweepSometimes();
    return result;
  }

  #sweepSometimes(): void {
    if ((this.#admissions += 1) < SWEEP_EVERY) return;
    this.#admissions = 0;
    this.evictor.sweep(this.time.now);
  }
}

/** What one call recorded. */
class MemoryReceipt implements SyncReceipt {
  readonly #namespace: MemoryNamespace;
  readonly #key: string;
  readonly #id: number;
  readonly #timestamp: number;
  readonly #cost: number;
  #isRefunded = false;

  constructor(namespace: MemoryNamespace, key: string, id: number, timestamp: number, cost: number) {
    this.#namespace = namespace;
    this.#key = key;
    this.#id = id;
    this.#timestamp = timestamp;
    this.#cost = cost;
  }

  refund(): boolean {
    if (this.#isRefunded) return false;
    const isRemoved = this.#namespace.refund(this.#key, this.#id, this.#timestamp, this.#cost);
    // Not before: if the clock fails, the call can be refunded later.
    this.#isRefunded = true;
    return isRemoved;
  }
}
