import type { Receipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import { passes, quietAfter, survey } from "../core/sliding-window.js";
import type { StoreTime } from "../core/store-time.js";
import type { TimestampLog } from "../core/timestamp-log.js";
import { countAfter, EMPTY_LOG, epochOf, isEmpty, placeOf, removeStamps } from "../core/timestamp-log.js";
import type { Hand } from "./hand.js";
import type { LogTable } from "./log-table.js";
import type { KeyState, Space, Verdict } from "./store.js";

/** What the spaces of one memory store share. */
export interface MemoryStoreParts {
  readonly time: StoreTime;
  readonly hand: Hand;
  /** Runs a synchronous section while nothing else runs in the store. */
  readonly exclusively: <T>(section: () => T) => T;
  /** Begins such a section without a function for it; {@link leave} must end it, whatever happens. */
  readonly enter: () => void;
  readonly leave: () => void;
}

/** One space of a `MemoryStore`: every verb is one synchronous section, so every verb answers at once. */
export class MemorySpace implements Space {
  readonly #parts: MemoryStoreParts;
  readonly #table: LogTable;

  constructor(parts: MemoryStoreParts, table: LogTable) {
    this.#parts = parts;
    this.#table = table;
  }

  /** The verb that is called for its speed: in one piece, and without a closure, which costs more than to judge a call. */
  admit(key: string, limits: readonly Limit[], cost: number): boolean {
    const { time, hand, enter, leave } = this.#parts;
    const table = this.#table;
    enter();
    try {
      time.read();
      table.limits = limits;
      const log = table.get(key);
      if (!passes(log ?? EMPTY_LOG, limits, cost, time.now)) return false;
      if (log === undefined && hand.makeRoom(time.now) > 0) return false;
      table.record(key, log, cost, time.stamp, time.now);
      hand.sweep(time.now);
      return true;
    } finally {
      leave();
    }
  }

  check(key: string, limits: readonly Limit[], cost: number): Verdict {
    return this.#parts.exclusively(() => {
      const log = this.look(key, limits);
      const isAdmissible = passes(log ?? EMPTY_LOG, limits, cost, this.#now);
      const roomWait = isAdmissible && log === undefined ? this.#parts.hand.makeRoom(this.#now) : 0;
      if (!isAdmissible || roomWait > 0) return this.verdict(log ?? EMPTY_LOG, limits, cost, roomWait);
      return this.#spent(key, log, limits, cost);
    });
  }

  peek(key: string, limits: readonly Limit[], cost: number): Verdict {
    return this.#parts.exclusively(() => {
      const log = this.look(key, limits);
      const isAdmissible = passes(log ?? EMPTY_LOG, limits, cost, this.#now);
      const roomWait = isAdmissible && log === undefined ? this.#parts.hand.findRoom(1, this.#now).wait : 0;
      return this.verdict(log ?? EMPTY_LOG, limits, cost, roomWait);
    });
  }

  reset(key?: string): void {
    this.#parts.exclusively(() => {
      if (key === undefined) this.#table.clear();
      else this.#forget(this.#table.get(key));
    });
  }

  state(key: string): KeyState {
    return this.#parts.exclusively(() => {
      this.#parts.time.read();
      const lastReset = this.#now - this.#table.longestMs;
      return { calls: countAfter(this.#table.get(key) ?? EMPTY_LOG, lastReset), lastReset };
    });
  }

  get #now(): number {
    return this.#parts.time.now;
  }

  /** Moves the store to the present, and returns the key's log as it stands there. For the store, within a section. */
  look(key: string, limits: readonly Limit[]): TimestampLog | undefined {
    this.#parts.time.read();
    this.#table.limits = limits;
    return this.#table.get(key);
  }

  /** Whether the limits let a call pass at the store's present, without a look at the clock. For the store, within a section. */
  passes(key: string, limits: readonly Limit[], cost: number): boolean {
    return passes(this.#table.get(key) ?? EMPTY_LOG, limits, cost, this.#now);
  }

  /** Records a call that passes, without another look at the clock. For the store, within a section. */
  spend(key: string, limits: readonly Limit[], cost: number): Verdict {
    return this.#spent(key, this.#table.get(key), limits, cost);
  }

  #spent(key: string, log: TimestampLog | undefined, limits: readonly Limit[], cost: number): Verdict {
    const after = this.#record(key, log, cost);
    // Asked what is left, and not whether the same would pass again: a further cost of 0 passes in every layer.
    return this.verdict(after, limits, 0, 0, this.#receipt(key, epochOf(after), cost));
  }

  /** Records an admitted call, and lets the hand move on: the only place where logs come into being. */
  #record(key: string, log: TimestampLog | undefined, cost: number): TimestampLog {
    const { time, hand } = this.#parts;
    const after = this.#table.record(key, log, cost, time.stamp, time.now);
    hand.sweep(time.now);
    return after;
  }

  /** What each limit says to a call, as a verdict. For the store, within a section. */
  verdict(log: TimestampLog, limits: readonly Limit[], cost: number, roomWait: number, receipt?: Receipt): Verdict {
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
        const isTaken = this.#parts.exclusively(() => this.#takeBack(key, epoch, stamp, cost));
        // Not before: where the clock fails there is another try.
        isRefunded = true;
        return isTaken;
      },
    };
  }

  /** Takes back a spend, unless it has expired or its log was dropped: a later log's calls are not its to take. */
  #takeBack(key: string, epoch: number, stamp: number, cost: number): boolean {
    this.#parts.time.read();
    const log = this.#table.get(key);
    if (log === undefined || epochOf(log) !== epoch || stamp <= this.#now - this.#table.longestMs) return false;
    const taken = removeStamps(log, stamp, cost);
    if (isEmpty(log)) this.#forget(log);
    return taken > 0;
  }

  #forget(log: TimestampLog | undefined): void {
    if (log !== undefined) this.#table.forgetAt(placeOf(log));
  }
}
