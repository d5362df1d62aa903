import { monotonicClock } from "../../core/clock.js";
import type { Limit } from "../../core/limit.js";
import type { LockPolicy } from "../../core/locks.js";
import type { StoreError } from "../../core/errors.js";
import { freshResult } from "../store.js";
import type { KeyState, Namespace, Store, StoreResult } from "../store.js";

/**
 * Decides the calls of one namespace while the server cannot. Every method but `unlock`, `reset` and `close` gets its failure.
 *
 * It has locks of its own: none that the server has, and none that was set by hand.
 */
export interface Fallback {
  admit(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<boolean>;
  check(
    failure: StoreError,
    key: string,
    limits: readonly Limit[],
    cost: number,
    mayStrike?: boolean,
  ): Promise<StoreResult>;
  peek(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  state(failure: StoreError, key: string): Promise<KeyState>;
  /** Removes the lock and the strikes of a key. True if it had any. */
  unlock(key: string): Promise<boolean>;
  /** Forgets what the fallback recorded for a key, or for all keys. */
  reset(key?: string): Promise<void>;
  /** Called when the limiter is closed. Calls that are under way may still be decided afterwards. */
  close(): void;
}

/** Rejects every call with the failure of the server. */
export const denyFallback: Fallback = {
  admit: (failure) => Promise.reject(failure),
  check: (failure) => Promise.reject(failure),
  peek: (failure) => Promise.reject(failure),
  state: (failure) => Promise.reject(failure),
  unlock: () => Promise.resolve(false),
  reset: () => Promise.resolve(),
  close: () => undefined,
};

/** Admits every call, records nothing, and describes the key as fresh. */
export const allowFallback: Fallback = {
  admit: () => Promise.resolve(true),
  check: (_failure, _key, limits, cost) => Promise.resolve(freshResult(limits, cost, "fallback")),
  peek: (_failure, _key, limits) => Promise.resolve(freshResult(limits, 0, "fallback")),
  state: (failure) => Promise.reject(failure),
  unlock: () => Promise.resolve(false),
  reset: () => Promise.resolve(),
  close: () => undefined,
};

/**
 * Decides by another store, with the same limits, each divided among the instances of the service and rounded up: together
 * the instances admit at most `instances - 1` calls more than the limit, beside what the server admitted.
 */
export function storeFallback(namespaces: FallbackNamespaces, owner: FallbackOwner, instances: number): Fallback {
  const perInstance = (calls: number): number => Math.ceil(calls / instances);
  const divided = ({ maxCalls, reducedFrom, ...limit }: Limit): Limit => {
    return { ...limit, maxCalls: perInstance(maxCalls), reducedFrom: reducedFrom && perInstance(reducedFrom) };
  };
  const own = (limits: readonly Limit[]): readonly Limit[] => (instances === 1 ? limits : limits.map(divided));
  return {
    admit: async (_failure, key, limits, cost) => namespaces.use(owner).admit(key, own(limits), cost),
    check: async (_failure, key, limits, cost, mayStrike) => {
      return asFallback(await namespaces.use(owner).check(key, own(limits), cost, mayStrike));
    },
    peek: async (_failure, key, limits, cost) => {
      return asFallback(await namespaces.use(owner).peek(key, own(limits), cost));
    },
    state: async (_failure, key) => namespaces.use(owner).state(key),
    unlock: (key) => namespaces.unlock(owner, key),
    reset: (key) => namespaces.reset(owner, key),
    close: () => namespaces.release(owner),
  };
}

function asFallback(result: StoreResult): StoreResult {
  return { ...result, source: "fallback" };
}

/** The most namespaces of one store that are kept without a reservation. Beyond it, the least recently used one is closed. */
const MOST_IDLE = 10_000;

/** Whose calls a fallback namespace counts: all limiters with one owner share one namespace. */
export interface FallbackOwner {
  /** What the limiters share that have one client. */
  readonly client: object;
  /** The name in the fallback store. */
  readonly name: string;
  readonly keyPrefix: string;
  readonly periodsMs: readonly number[];
  readonly locks: LockPolicy | undefined;
}

interface Entry {
  readonly owner: FallbackOwner;
  readonly namespace: Namespace;
  /** The number of open limiters that have reserved the name. */
  users: number;
  /** When all that was recorded will have expired, and no strike counts; undefined if the namespace was never used. */
  expiresAt: number | undefined;
}

/**
 * The namespaces of one store that decide during an outage of the server.
 *
 * A namespace outlives the limiters that use it while anything in it counts: a limiter that is opened, used and
 * closed for each request enforces its limit during an outage as well. There is no timer: expired namespaces are closed when
 * another one is used.
 */
export class FallbackNamespaces {
  readonly #store: Store;
  /** By name. */
  readonly #entries = new Map<string, Entry>();
  /** Those without users, the least recently used first. */
  readonly #idle = new Set<Entry>();

  constructor(store: Store) {
    this.#store = store;
  }

  /**
   * Reserves the name of `owner` until it is released.
   *
   * @throws RangeError if an open limiter of another owner has the name.
   */
  reserve(owner: FallbackOwner): void {
    const entry = this.#entryOf(owner);
    entry.users += 1;
    this.#idle.delete(entry);
  }

  /** Gives a reserved name up. What was recorded is kept while it counts, unless another owner needs the name. */
  release(owner: FallbackOwner): void {
    const entry = this.#find(owner);
    if (entry === undefined) return;
    entry.users = Math.max(0, entry.users - 1);
    if (entry.users > 0) return;
    if (entry.expiresAt === undefined) this.#close(entry);
    else this.#keepIdle(entry);
  }

  /**
   * The namespace in which to decide a call now; it is opened if there is none.
   *
   * @throws RangeError if an open limiter of another owner has the name.
   */
  use(owner: FallbackOwner): Namespace {
    const entry = this.#entryOf(owner);
    const { periodsMs, locks } = owner;
    const lastMs = locks === undefined ? 0 : Math.max(...locks.stepsMs, ...periodsMs) + locks.forgetAfterMs;
    entry.expiresAt = monotonicClock.now() + Math.max(...periodsMs, lastMs);
    if (entry.users === 0) this.#keepIdle(entry);
    return entry.namespace;
  }

  /** Removes the lock and the strikes of a key. True if it had any. */
  async unlock(owner: FallbackOwner, key: string): Promise<boolean> {
    return (await this.#find(owner)?.namespace.unlock?.(key)) ?? false;
  }

  /** Forgets what was recorded for a key, or for all keys. */
  async reset(owner: FallbackOwner, key: string | undefined): Promise<void> {
    await this.#find(owner)?.namespace.reset(key);
  }

  #entryOf(owner: FallbackOwner): Entry {
    const known = this.#find(owner);
    if (known !== undefined) return known;
    const other = this.#entries.get(owner.name);
    if (other?.users === 0) this.#close(other);
    const namespace = this.#store.open(owner.name, owner.periodsMs, owner.locks);
    const entry: Entry = { owner, namespace, users: 0, expiresAt: undefined };
    this.#entries.set(owner.name, entry);
    return entry;
  }

  #find(owner: FallbackOwner): Entry | undefined {
    const entry = this.#entries.get(owner.name);
    return entry !== undefined && isSameOwner(entry.owner, owner) ? entry : undefined;
  }

  #keepIdle(entry: Entry): void {
    this.#idle.delete(entry);
    this.#idle.add(entry);
    const now = monotonicClock.now();
    for (const oldest of this.#idle) {
      if (this.#idle.size <= MOST_IDLE && (oldest.expiresAt ?? 0) > now) return;
      this.#close(oldest);
    }
  }

  #close(entry: Entry): void {
    this.#idle.delete(entry);
    this.#entries.delete(entry.owner.name);
    entry.namespace.close();
  }
}

function isSameOwner(one: FallbackOwner, other: FallbackOwner): boolean {
  const termsOf = ({ keyPrefix, periodsMs, locks }: FallbackOwner): string =>
    JSON.stringify([keyPrefix, periodsMs, locks]);
  return one.client === other.client && termsOf(one) === termsOf(other);
}
