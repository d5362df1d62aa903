import type { Clock } from "../core/clock.js";
import type { LayerStatus, Receipt, Source, SyncReceipt } from "../core/decision.js";
import type { Limit } from "../core/limit.js";
import type { KeyLock, LockPolicy } from "../core/locks.js";
import { lockedForMs } from "../core/locks.js";
import type { TimestampLog } from "../core/sliding-window.js";
import { status } from "../core/sliding-window.js";
import { rangeError, typeError } from "../core/validate.js";

/**
 * Keeps logs and a clock, and removes expired timestamps. It does not depend on tiers, load or HTTP.
 *
 * A limiter opens one namespace when it is constructed. Clock, key cap and connection belong to the store, and are shared; logs,
 * periods and `reset()` belong to a namespace.
 */
export type Store = SyncStore | AsyncStore;

/** A store whose methods return values, and never promises: it keeps its logs in the memory of this process. */
export interface SyncStore {
  /** `true`: its methods return values, and not promises. */
  readonly synchronous: true;

  /** The clock of waiters. @default the process's monotonic clock */
  readonly clock?: Clock | undefined;

  /**
   * Opens a namespace for one limiter.
   *
   * @param name - not empty, without `:` (a store may put it into a key, before one).
   * @param periodsMs - the periods of the limits of all later calls: one log, one set of periods. A timestamp is kept for the
   *   longest of them.
   * @param locks - how refusals lock their keys; undefined if they do not. It needs namespaces with `lock` and `unlock`.
   * @throws RangeError when the name is invalid, or open on this store already: two limiters would share their history. A name
   *   is free again once its namespace is closed.
   */
  open(name: string, periodsMs: readonly number[], locks?: LockPolicy): SyncNamespace;
}

/** A store whose methods return promises: its logs are outside of this process. */
export interface AsyncStore {
  /** `false`: its methods return promises. */
  readonly synchronous: false;

  /** The clock of waiters. @default the process's monotonic clock */
  readonly clock?: Clock | undefined;

  /** Opens a namespace for one limiter: see {@link SyncStore.open}. */
  open(name: string, periodsMs: readonly number[], locks?: LockPolicy): AsyncNamespace;

  /**
   * Checks several keys at once, all or nothing: if no call that may refuse is refused, each call that is admitted is recorded,
   * else none is. Without this method, the keys are checked one after another.
   *
   * The refusal of an item by its limits is a strike unless an earlier item has been refused. An earlier item that may not refuse
   * the call counts here only for others that may not.
   *
   * @param items - of namespaces of any store, no namespace twice.
   */
  checkBatch?(items: readonly BatchItem[]): Promise<BatchResult>;
}

/** The call of one key, as a part of a call with several keys. */
export interface BatchItem {
  /** The namespace of this store that holds the key. */
  readonly namespace: Namespace;
  /** The key of the call. */
  readonly key: string;
  /** The limits that must all allow the call. */
  readonly limits: readonly Limit[];
  /** How many calls it counts as. A whole number of at least 1. */
  readonly cost: number;
  /** Whether its refusal refuses the whole call. In shadow mode it does not. */
  readonly mayRefuse: boolean;
}

/** The result of `checkBatch`. */
export type BatchResult =
  | {
      /** The result of each item; undefined for one that was not checked, because another was refused. */
      readonly results: readonly (StoreResult | undefined)[];
    }
  | {
      /** The items cannot be checked together, and nothing was recorded. The caller checks each by these, one after another. */
      readonly checkers: readonly Pick<Namespace, "check">[];
    };

/**
 * The logs of one limiter, by key. Keys are validated by the limiter, and every string is a key like any other.
 *
 * Each method is atomic for its key. Each call passes the limits that apply to it, whose number and `maxCalls` may differ from
 * those of the last call. Their periods are among those that the namespace was opened with. So a timestamp is removed by its age,
 * and never by a `maxCalls`: the next call may have a higher one.
 *
 * A key can be locked: until its lock ends, its calls are refused, and change nothing. In a namespace that was opened with a
 * `LockPolicy`, a refusal of `admit` and `check` locks its key, in the same atomic step, if it is a strike as `strike` of
 * `core/locks.ts` defines it: if the limits without load (`reducedFrom`) refuse the call as well, and no cost exceeds them. A lock
 * and strikes that count no longer are the same as none. `lock` and `unlock` are optional: a store without them has no locks.
 */
export type Namespace = SyncNamespace | AsyncNamespace;

/** A namespace of a {@link SyncStore}. A method that cannot decide throws a `StoreError`. */
export interface SyncNamespace {
  /** Records the call if every limit allows it, else nothing; returns whether it did. The short form of `check`. */
  admit(key: string, limits: readonly Limit[], cost: number): boolean;

  /**
   * Records the call if every limit allows it, else nothing; returns the status of each limit afterwards.
   *
   * @param mayStrike - `false` for a call whose refusal is no strike. @default true
   */
  check(key: string, limits: readonly Limit[], cost: number, mayStrike?: boolean): SyncStoreResult;

  /** The result of `check`, without recording anything. */
  peek(key: string, limits: readonly Limit[], cost: number): SyncStoreResult;

  /**
   * Forgets one key with its lock and strikes, or all keys of this namespace. Receipts of what is forgotten refund nothing any more.
   *
   * @param lockedUntil - see {@link SyncNamespace.unlock}. @default undefined, for whatever the lock is
   * @returns false if the key has another lock: then nothing is forgotten.
   */
  reset(key?: string, lockedUntil?: number | null): boolean;

  /** What the log of a key contains in the longest period, and its lock. */
  state(key: string): KeyState;

  /**
   * Locks a key from now on for `ms` milliseconds, whatever its lock was. Its strikes stay, and this is none.
   *
   * @throws StoreError if there is no room for the key.
   */
  lock?(key: string, ms: number): void;

  /**
   * Removes the lock and the strikes of a key, and returns whether it had any.
   *
   * @param lockedUntil - what {@link KeyState.lockedUntil} was. If the key has been locked again since then, nothing is removed.
   *   @default undefined, for whatever the lock is
   */
  unlock?(key: string, lockedUntil?: number | null): boolean;

  /**
   * Releases the name of this namespace, which can be opened again, with other periods. Memory of this process is freed; what
   * other processes share stays, and expires by itself.
   *
   * A limiter calls it once, and no other method afterwards. Calls under way may still complete, and receipts may still be
   * refunded: that returns false where the log is gone.
   */
  close(): void;
}

/** A namespace of an {@link AsyncStore}: the methods of {@link SyncNamespace}, later. One that cannot decide rejects with a `StoreError`. */
export interface AsyncNamespace {
  /** As {@link SyncNamespace.admit}. */
  admit(key: string, limits: readonly Limit[], cost: number): Promise<boolean>;
  /** As {@link SyncNamespace.check}. */
  check(key: string, limits: readonly Limit[], cost: number, mayStrike?: boolean): Promise<StoreResult>;
  /** As {@link SyncNamespace.peek}. */
  peek(key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  /** As {@link SyncNamespace.reset}. */
  reset(key?: string, lockedUntil?: number | null): Promise<boolean>;
  /** As {@link SyncNamespace.state}. */
  state(key: string): Promise<KeyState>;
  /** As {@link SyncNamespace.lock}. */
  lock?(key: string, ms: number): Promise<void>;
  /** As {@link SyncNamespace.unlock}. */
  unlock?(key: string, lockedUntil?: number | null): Promise<boolean>;
  /** As {@link SyncNamespace.close}. */
  close(): void;
}

/** The result of one call. */
export interface StoreResult {
  /** Milliseconds until the call would be admitted, by the limits and the lock: 0 when it is, `Infinity` when it never can be. */
  readonly retryAfterMs: number;
  /** Milliseconds until every timestamp of the log has expired in every layer. */
  readonly resetAfterMs: number;
  /** The status of each limit, in the order in which they were passed. */
  readonly layers: readonly LayerStatus[];
  /** The lock and the strikes of the key after the call; undefined if it has neither. */
  readonly lock: LockStatus | undefined;
  /** The call was refused because there is no room for its key, and not by a limit. */
  readonly noRoom: boolean;
  /** Where the result comes from. */
  readonly source: Source;
  /** What was recorded; undefined when nothing was. */
  readonly receipt: Receipt | undefined;
}

/** The lock and the strikes of a key after a call. */
export interface LockStatus {
  /** Milliseconds until the lock ends; 0 if the key is not locked. */
  readonly lockedForMs: number;
  /** How many strikes the key has. */
  readonly strikes: number;
  /** Whether the key was locked before the call, which was refused for that. */
  readonly refuses: boolean;
}

/** The result of one call in a {@link SyncStore}. */
export interface SyncStoreResult extends StoreResult {
  readonly receipt: SyncReceipt | undefined;
}

/**
 * The result for a key without earlier calls, right after a call of this cost; 0 for no call. It admits every cost and has no
 * receipt: it describes calls that no store records.
 */
export function freshResult(limits: readonly Limit[], cost: number, source: Source): StoreResult {
  // The present is the instant 0, and the call has just been recorded.
  const log: TimestampLog = { nthMostRecent: (n) => (n <= cost ? 0 : -Infinity), countAfter: () => cost };
  const layers = status(log, limits, 0, 0).map((layer) => ({ ...layer, retryAfterMs: 0 }));
  const resetAfterMs = Math.max(...layers.map((layer) => layer.resetAfterMs));
  return { retryAfterMs: 0, resetAfterMs, layers, lock: undefined, noRoom: false, source, receipt: undefined };
}

/** The state of a key. */
export interface KeyState {
  /** Unexpired calls in the longest window, each counted with its cost. */
  readonly calls: number;
  /** The start of that window, in milliseconds of the store's clock: calls up to this instant have expired. */
  readonly lastReset: number;
  /** Milliseconds until the lock of the key ends; 0 if it is not locked. */
  readonly lockedForMs: number;
  /** How often a refusal has locked the key, until that is forgotten; 0 for a limiter without `lockFor`. */
  readonly strikes: number;
  /**
   * The end of the latest lock, in milliseconds of the store's clock; `null` for a key that is neither locked nor has strikes. It
   * identifies the lock, for an `unlock` or `reset` that must not remove a newer one.
   */
  readonly lockedUntil: number | null;
}

/** The state of a key whose log has this many calls. @param lock - undefined if it counts no longer. */
export function keyState(calls: number, lastReset: number, lock: KeyLock | undefined, now: number): KeyState {
  const { strikes, lockedUntil } = lock ?? { strikes: 0, lockedUntil: null };
  return { calls, lastReset, lockedForMs: lockedForMs(lock, now), strikes, lockedUntil };
}

/** The lock and the strikes of a key after a call; undefined if it has neither. @param refuses - see {@link LockStatus}. */
export function lockStatus(lock: KeyLock | undefined, refuses: boolean, now: number): LockStatus | undefined {
  return lock && { lockedForMs: lockedForMs(lock, now), strikes: lock.strikes, refuses };
}

/**
 * The most timestamps that one refund moves, in every store. A refund of an old call moves all newer ones, so without a bound
 * one client could make a store move millions of them for each of its refunds.
 */
export const MAX_MOVED = 4096;

/**
 * Checks the name of a namespace and returns it.
 *
 * @throws TypeError if it is not a string, RangeError if it is empty or contains a `:`, which separates it from the key.
 */
export function assertNamespaceName(name: unknown): string {
  const rule = "a non-empty string without `:`";
  if (typeof name !== "string") throw typeError("name", rule, name);
  if (name === "" || name.includes(":")) throw rangeError("name", rule, name);
  return name;
}

/**
 * Checks the name of a namespace before it is opened.
 *
 * @param open - the names of the namespaces that are open on the store.
 * @throws TypeError if it is not a string, RangeError if it is invalid, or open: two limiters would share their history.
 */
export function assertNameIsFree(name: unknown, open: ReadonlySet<string>): void {
  if (!open.has(assertNamespaceName(name))) return;
  const rule = "a name that no other limiter of this store has (without one it is `default`); give each its own";
  throw rangeError("name", rule, name);
}
