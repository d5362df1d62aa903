import { monotonicClock } from "../core/clock.js";
import type { Limit } from "../core/limit.js";
import { warn, warnOnce } from "../core/callbacks.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Namespace, Store } from "../store/store.js";
import { CircuitBreaker } from "./circuit-breaker.js";
import type { Connection } from "./clients.js";
import { connectionOf } from "./clients.js";
import { DenyCache } from "./deny-cache.js";

/** The most namespaces of one client that are kept for later limiters. Further ones are not shared. */
const MOST_NAMESPACES = 1000;

/** The name of a limiter without one. */
const DEFAULT_NAME = "default";

const sharedClients = new WeakMap<object, SharedClient>();

/** What all stores of `client` share. @throws TypeError for an object that is no client. */
export function sharedClient(client: unknown): SharedClient {
  const known = sharedClients.get(client as object);
  if (known !== undefined) return known;
  const made = new SharedClient(connectionOf(client));
  sharedClients.set(client as object, made);
  return made;
}

/**
 * What all stores of one client share. A limiter that is made for each request then admits no more calls during an outage,
 * waits for no more timeouts, sends no more commands and leaves no more memory behind than one that is made once.
 */
export class SharedClient {
  readonly connection: Connection;
  /** Whether the client is of a cluster, or a server has said that it is a part of one. */
  isCluster: boolean;
  readonly #breakers = new Map<number, CircuitBreaker>();
  readonly #namespaces = new Map<string, SharedNamespace>();
  #local: MemoryStore | undefined;
  #hasWarned = false;

  constructor(connection: Connection) {
    this.connection = connection;
    this.isCluster = connection.isCluster;
  }

  /** The circuit breaker of all stores with this timeout: how many calls fail depends on it. */
  breaker(timeoutMs: number): CircuitBreaker {
    const breaker = this.#breakers.get(timeoutMs) ?? new CircuitBreaker(() => monotonicClock.now());
    this.#breakers.set(timeoutMs, breaker);
    return breaker;
  }

  /** What the limiters with the key prefix `prefix` share. */
  namespace(prefix: string): SharedNamespace {
    const known = this.#namespaces.get(prefix);
    if (known !== undefined) return known;
    const isKept = this.#namespaces.size < MOST_NAMESPACES;
    // One store for all that are kept, so that an outage takes the memory of one.
    const local = isKept ? () => (this.#local ??= new MemoryStore()) : () => new MemoryStore();
    const made = new SharedNamespace(prefix, local, () => {
      if (isKept) this.#namespaces.delete(prefix);
    });
    if (isKept) this.#namespaces.set(prefix, made);
    return made;
  }

  /** Reports the first failure where no store has an `onStoreError`: a silent fallback would never be noticed. */
  warnOfFailure(failure: unknown): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    warn("Redis failed a RedisStore, which says so once where it has no onStoreError", failure);
  }
}

/** A fallback space, and how to give it back: it closes with its last user. */
export interface Opened {
  readonly space: Namespace;
  readonly release: () => void;
}

/** The names of spaces in local stores. */
let localSpaces = 0;

/** What the limiters share that have one client, key prefix and name, and so the same keys in Redis. */
export class SharedNamespace {
  readonly #prefix: string;
  readonly #makeLocal: () => MemoryStore;
  readonly #forget: () => void;
  #local: MemoryStore | undefined;
  /** By how long a denial is kept. */
  readonly #denyCaches = new Map<number, DenyCache>();
  /** By store and periods. */
  readonly #fallbacks = new WeakMap<Store, Map<string, { readonly space: Namespace; users: number }>>();
  #limiters = 0;
  /** The limits of the limiter that was used first. */
  #limits: string | undefined;

  /** @param forget - called when the last limiter has left. */
  constructor(prefix: string, makeLocal: () => MemoryStore, forget: () => void) {
    this.#prefix = prefix;
    this.#makeLocal = makeLocal;
    this.#forget = forget;
  }

  /** Adds a limiter. Warns if it has no name and another is open: the two are hardly meant to count together. */
  join(name: string, warns: boolean): void {
    this.#limiters += 1;
    if (warns && this.#limiters > 1 && name === DEFAULT_NAME) this.#warn("none of them has a name");
  }

  /** Removes a limiter that is closed. */
  leave(): void {
    this.#limiters -= 1;
    if (this.#limiters === 0) this.#forget();
  }

  /**
   * Warns of limiters with different limits, when the second of them is used first: it is no error, because two releases may
   * share keys. Equal limits are those of one limiter that was made anew.
   */
  compareLimits(limits: readonly Limit[]): void {
    // A limit that load has reduced is compared in full, and may be listed twice: reduced and in full.
    const full = limits.map(({ maxCalls, reducedFrom, periodMs }) => `${reducedFrom ?? maxCalls} in ${periodMs} ms`);
    const own = [...new Set(full)].join(", ");
    this.#limits ??= own;
    if (own !== this.#limits) this.#warn(`one limits to ${this.#limits}, another to ${own}`);
  }

  /** The deny cache of all limiters with this `maxAge`. */
  denyCache(maxAgeMs: number): DenyCache {
    const cache = this.#denyCaches.get(maxAgeMs) ?? new DenyCache(maxAgeMs, () => monotonicClock.now());
    this.#denyCaches.set(maxAgeMs, cache);
    return cache;
  }

  /**
   * Opens the space that decides during an outage, once for all limiters with these periods.
   *
   * @param store - undefined for a local one.
   * @throws RangeError when the name is taken in `store`.
   */
  openFallback(store: Store | undefined, name: string, periodsMs: readonly number[]): Opened {
    const own = store ?? (this.#local ??= this.#makeLocal());
    const spaces = this.#fallbacks.get(own) ?? new Map<string, { readonly space: Namespace; users: number }>();
    this.#fallbacks.set(own, spaces);
    const periods = periodsMs.join();
    const spaceName = store === undefined ? String((localSpaces += 1)) : name;
    const opened = spaces.get(periods) ?? { space: own.open(spaceName, periodsMs), users: 0 };
    spaces.set(periods, opened);
    opened.users += 1;
    const release = (): void => {
      opened.users -= 1;
      if (opened.users > 0) return;
      spaces.delete(periods);
      opened.space.close();
    };
    return { space: opened.space, release };
  }

  #warn(difference: string): void {
    warnOnce(
      "SLUICEGATE_SHARED_KEYS",
      "Two limiters of one Redis client have the same keys, and count together. Give each a `name`",
      `The keys are ${this.#prefix}*; ${difference}. \`warnings: false\` switches this warning off.`,
    );
  }
}
