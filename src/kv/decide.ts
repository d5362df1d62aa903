import { forgottenAt, isNewer, lockedForMs, strike } from "../core/locks.js";
import { retryAfter, status } from "../core/sliding-window.js";
import type { DecisionCall, DecisionReply, RemoteCall, Replies } from "../store/remote/backend.js";
import type { LockStatus } from "../store/store.js";
import { keyState, lockStatus } from "../store/store.js";
import type { StoreTime } from "../store/store-time.js";
import type { KeyRecord } from "./key-record.js";

/** A call on one key. */
export type KeyCall = Exclude<RemoteCall, { readonly method: "all" }>;

/** The replies to calls on one key, and what to write. */
export interface Outcome {
  readonly replies: readonly unknown[];
  /** For how long the record has an effect; undefined if it has not changed. */
  readonly ttlMs: number | undefined;
}

/** Executes calls on the record of a key, which it changes, in their order. All of them read the same time. */
export function decideAll(record: KeyRecord, calls: readonly KeyCall[], time: StoreTime): Outcome {
  let longestMs = record.longestMs;
  for (const call of calls) longestMs = Math.max(longestMs, call.longestMs);
  record.longestMs = longestMs;
  const { latest } = record;
  const aheadMs = latest - time.now;
  const lockedMs = lockedForMs(record.lock, latest);
  // What is that far ahead was recorded by a wrong clock. It would refuse the key for as long as the clock was wrong.
  if (lockedMs > 0 && aheadMs > Math.max(longestMs, lockedMs)) record.lock = undefined;
  if (aheadMs > longestMs) record.latest = time.now;
  // The clock of this process may be behind that of the process that has changed the key.
  const now = Math.max(time.now, record.latest);
  record.cut(now - longestMs, time.now + longestMs);
  const session = new KeySession(record, now, Math.max(time.timestamp, now > time.now ? now + 1 : now));
  let keepUntil = -Infinity;
  const replies = calls.map((call) => {
    const reply = session.execute(call);
    if (record.lock !== undefined) keepUntil = Math.max(keepUntil, forgottenAt(record.lock, call.locks));
    return reply;
  });
  if (!session.isChanged) return { replies, ttlMs: undefined };
  record.latest = now;
  keepUntil = Math.max(keepUntil, session.newest + longestMs);
  return { replies, ttlMs: keepUntil - time.now };
}

/** The calls on one key at one time. */
class KeySession {
  readonly #record: KeyRecord;
  readonly #now: number;
  /** The timestamp of a call that is admitted. */
  readonly #timestamp: number;
  isChanged = false;

  constructor(record: KeyRecord, now: number, timestamp: number) {
    this.#record = record;
    this.#now = now;
    this.#timestamp = Math.max(timestamp, record.nthMostRecent(1));
  }

  /** The newest timestamp, or the present if there is none. */
  get newest(): number {
    return Math.max(this.#now, this.#record.nthMostRecent(1));
  }

  execute(call: KeyCall): Replies[KeyCall["method"]] {
    const record = this.#record;
    if (record.lock !== undefined && forgottenAt(record.lock, call.locks) <= this.#now) record.lock = undefined;
    switch (call.method) {
      case "admit": {
        const { retryAfterMs, lock } = this.#decide(call);
        return { retryAfterMs, lockedForMs: lock?.lockedForMs ?? 0 };
      }
      case "check":
      case "peek":
        return this.#replyTo(call);
      case "state": {
        const lastReset = this.#now - call.longestMs;
        return keyState(record.countAfter(lastReset), lastReset, record.lock, this.#now);
      }
      case "refund": {
        const { epoch, timestamp, cost } = call.recorded;
        const isUnexpired = epoch === record.epoch && timestamp > this.#now - record.longestMs;
        return this.#changes(isUnexpired && record.remove(timestamp, cost));
      }
      case "lock":
        record.lock = { lockedUntil: this.#now + call.ms, strikes: record.lock?.strikes ?? 0 };
        return this.#changes(true);
      case "unlock": {
        const isRemoved = record.lock !== undefined && !isNewer(record.lock, call.lockedUntil);
        if (isRemoved) record.lock = undefined;
        return this.#changes(isRemoved);
      }
      case "reset": {
        const isReset = !isNewer(record.lock, call.lockedUntil);
        if (isReset) record.clear();
        return this.#changes(isReset);
      }
    }
  }

  #replyTo(call: DecisionCall): DecisionReply {
    const { isRecorded, retryAfterMs, lock } = this.#decide(call);
    // After the call is recorded, a cost of 0 makes every wait 0.
    const layers = status(this.#record, call.limits, isRecorded ? 0 : call.cost, this.#now);
    const { epoch } = this.#record;
    return { passed: retryAfterMs === 0, epoch, timestamp: this.#timestamp, layers, lock };
  }

  /** Decides a call, and records what follows. */
  #decide({ method, limits, cost, locks, mayStrike }: DecisionCall): {
    readonly retryAfterMs: number;
    readonly isRecorded: boolean;
    readonly lock: LockStatus | undefined;
  } {
    const record = this.#record;
    const refuses = lockedForMs(record.lock, this.#now) > 0;
    const waitMs = retryAfter(record, limits, cost, this.#now);
    const isRecorded = method !== "peek" && waitMs === 0 && !refuses;
    if (isRecorded) record.append(this.#timestamp, cost);
    const canStrike = method !== "peek" && waitMs > 0 && !refuses && mayStrike && locks !== undefined;
    const struck = canStrike ? strike(record.lock, locks, record, limits, cost, this.#now) : undefined;
    record.lock = struck ?? record.lock;
    this.#changes(isRecorded || struck !== undefined);
    const lock = lockStatus(record.lock, refuses, this.#now);
    return { retryAfterMs: Math.max(waitMs, lock?.lockedForMs ?? 0), isRecorded, lock };
  }

  #changes(isChanged: boolean): boolean {
    this.isChanged ||= isChanged;
    return isChanged;
  }
}
