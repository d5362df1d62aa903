import { monotonicClock } from "../../core/clock.js";
import type { Limit } from "../../core/limit.js";
import type { LockPolicy } from "../../core/locks.js";
import { warn, warnOnce } from "../../core/callbacks.js";
import { MemoryStore } from "../memory/memory-store.js";
import type { Store } from "../store.js";
import type { Backend } from "./backend.js";
import { Batcher } from "./batcher.js";
import { DenyCache, whileChanging } from "./deny-cache.js";
import { FallbackNamespaces } from "./fallback.js";

/** The most namespaces of one client that are kept for later limiters. Beyond it, the least recently opened one is dropped. */
const MOST_NAMESPACES = 1000;

/** The name of a limiter without one. */
const DEFAULT_NAME = "default";

const sharedStates = new WeakMap<object, SharedState>();

/**
 * The shared state of all stores of `client`.
 *
 * @param backendOf - makes the backend, once for each client. What it throws is thrown.
 */
export function sharedState(client: unknown, backendOf: (client: unknown) => Backend): SharedState {
  const known = sharedStates.get(client as object);
  if (known !== undefined) return known;
  const made = new SharedState(backendOf(client));
  sharedStates.set(client as object, made);
  return made;
}

/**
 * The shared state of all stores of one client. A limiter that is made for each request thus admits no more calls during an outage,
 * waits for no more timeouts, sends no more commands and uses no more memory than a limiter that is made once.
 */
export class SharedState {
  readonly backend: Backend;
  readonly #batchers = new Map<number, Batcher>();
  readonly #namespaces = new Map<string, SharedNamespace>();
  #localFallbacks: FallbackNamespaces | undefined;
  #hasWarned = false;

  constructor(backend: Backend) {
    this.backend = backend;
  }

  /** What sends the calls of all stores with this timeout: a timeout determines which calls fail. */
  batcher(timeoutMs: number): Batcher {
    const batcher = this.#batchers.get(timeoutMs) ?? new Batcher(this.backend, timeoutMs);
    this.#batchers.set(timeoutMs, batcher);
    return batcher;
  }

  /** The shared state of the limiters with the key prefix `prefix`. It is kept for later limiters after the last one is closed. */
  namespace(prefix: string): SharedNamespace {
    const namespace = this.#namespaces.get(prefix) ?? new SharedNamespace(this.backend.name, prefix);
    this.#namespaces.delete(prefix);
    this.#namespaces.set(prefix, namespace);
    const [oldest] = this.#namespaces.keys();
    // Open limiters keep the dropped namespace; limiters that are made later share a new one.
    if (this.#namespaces.size > MOST_NAMESPACES && oldest !== undefined) this.#namespaces.delete(oldest);
    return namespace;
  }

  /** Removes a limiter of `namespace`, which is dropped when it is idle. */
  leave(prefix: string, namespace: SharedNamespace): void {
    namespace.leave();
    if (namespace.isIdle && this.#namespaces.get(prefix) === namespace) this.#namespaces.delete(prefix);
  }

  /** The fallback namespaces in the memory of this process: one store for all limiters of the client. */
  get localFallbacks(): FallbackNamespaces {
    return (this.#localFallbacks ??= new FallbackNamespaces(new MemoryStore()));
  }

  /**
   * Warns of the first failure of a store without `onStoreError`: a silent fallback would not be noticed.
   *
   * @param reason - without the message of the client, which may contain the command, and with it the key.
   */
  warnOfFailure({ message }: Error, reason: string): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const { name } = this.backend;
    warn(
      "SLUICEGATE_STORE_FAILED",
      `${name} failed a call of a ${name}Store: ${reason}`,
      `${message}. This is reported once for each client; \`onStoreError\` receives each failure with its cause.`,
    );
  }
}

const storeFallbacks = new WeakMap<Store, FallbackNamespaces>();

/** The fallback namespaces in a store that was passed as `whenDown`, by limiters of any client. */
export function fallbacksIn(store: Store): FallbackNamespaces {
  const fallbacks = storeFallbacks.get(store) ?? new FallbackNamespaces(store);
  storeFallbacks.set(store, fallbacks);
  return fallbacks;
}

/** The shared state of the limiters with the same client, key prefix and name, and so the same keys. */
export class SharedNamespace {
  /** The name of the server. */
  readonly #server: string;
  readonly #prefix: string;
  /** By how long a denial is kept. */
  readonly #denyCaches = new Map<number, DenyCache>();
  #limiters = 0;
  /** The limits and locks of the limiter that was used first. */
  #limits: string | undefined;

  constructor(server: string, prefix: string) {
    this.#server = server;
    this.#prefix = prefix;
  }

  /** Adds a limiter. Warns if it has no name and another is open: the two are probably not meant to count together. */
  join(name: string, warns: boolean): void {
    this.#limiters += 1;
    if (warns && this.#limiters > 1 && name === DEFAULT_NAME) this.#warn("none of them has a name");
  }

  /** Removes a limiter that is closed. Limiters that are made later are not compared with closed ones. */
  leave(): void {
    this.#limiters -= 1;
    if (this.#limiters === 0) this.#limits = undefined;
  }

  /** Whether no limiter is open and no denial is cached. */
  get isIdle(): boolean {
    return this.#limiters === 0 && [...this.#denyCaches.values()].every((cache) => cache.size === 0);
  }

  /**
   * Warns of limiters with different limits or locks, when the second of them is first used. It is not an error, because two releases
   * may share keys. Equal limits belong to a limiter that was made again.
   */
  compareLimits(limits: readonly Limit[], locks: LockPolicy | undefined): void {
    // A limit that load has reduced is compared in full.
    const full = limits.map(({ maxCalls, reducedFrom, periodMs }) => `${reducedFrom ?? maxCalls} in ${periodMs} ms`);
    const ofLocks = locks && ` with locks of ${locks.stepsMs.join(", ")} ms, forgotten after ${locks.forgetAfterMs} ms`;
    const own = full.join(", ") + (ofLocks ?? "");
    this.#limits ??= own;
    if (own !== this.#limits) this.#warn(`one limits to ${this.#limits}, another to ${own}`);
  }

  /** The deny cache of all limiters with this `maxAge`. */
  denyCache(maxAgeMs: number): DenyCache {
    const cache = this.#denyCaches.get(maxAgeMs) ?? new DenyCache(maxAgeMs, monotonicClock);
    this.#denyCaches.set(maxAgeMs, cache);
    return cache;
  }

  /** Runs a change of a key, or of all keys, during which no deny cache of these limiters keeps a denial of it. */
  whileChanging<T>(key: string | undefined, change: () => Promise<T>): Promise<T> {
    return whileChanging(this.#denyCaches, key, change);
  }

  #warn(difference: string): void {
    warnOnce(
      "SLUICEGATE_SHARED_KEYS",
      `Two limiters of one ${this.#server} client have the same keys, and count together. Give each a \`name\``,
      `The keys are ${this.#prefix}*; ${difference}. \`warnings: false\` switches this warning off.`,
    );
  }
}
