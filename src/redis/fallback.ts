import type { Limit } from "../core/limit.js";
import type { StoreError } from "../core/errors.js";
import { freshResult } from "../store/store.js";
import type { KeyState, StoreResult } from "../store/store.js";
import type { FallbackNamespaces, FallbackOwner } from "./fallback-namespaces.js";

/** Decides the calls of one namespace while Redis cannot. Every method but `reset` and `close` gets the failure of Redis. */
export interface Fallback {
  admit(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<boolean>;
  check(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  peek(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  state(failure: StoreError, key: string): Promise<KeyState>;
  /** Forgets what the fallback recorded for a key, or for all keys. */
  reset(key?: string): Promise<void>;
  /** Called when the limiter is closed. Calls that are under way may still be decided afterwards. */
  close(): void;
}

/** Rejects every call with the failure of Redis. */
export const denyFallback: Fallback = {
  admit: (failure) => Promise.reject(failure),
  check: (failure) => Promise.reject(failure),
  peek: (failure) => Promise.reject(failure),
  state: (failure) => Promise.reject(failure),
  reset: () => Promise.resolve(),
  close: () => undefined,
};

/** Admits every call, records nothing, and describes the key as fresh. */
export const allowFallback: Fallback = {
  admit: () => Promise.resolve(true),
  check: (_failure, _key, limits, cost) => Promise.resolve(freshResult(limits, cost, "fallback")),
  peek: (_failure, _key, limits) => Promise.resolve(freshResult(limits, 0, "fallback")),
  state: (failure) => Promise.reject(failure),
  reset: () => Promise.resolve(),
  close: () => undefined,
};

/**
 * Decides by another store, with the same limits, each divided among the instances of the service and rounded up: together
 * the instances admit at most `instances - 1` calls more than the limit, beside what Redis admitted.
 */
export function storeFallback(namespaces: FallbackNamespaces, owner: FallbackOwner, instances: number): Fallback {
  const perInstance = (calls: number): number => Math.ceil(calls / instances);
  const divided = ({ maxCalls, reducedFrom, ...limit }: Limit): Limit => {
    return { ...limit, maxCalls: perInstance(maxCalls), reducedFrom: reducedFrom && perInstance(reducedFrom) };
  };
  const own = (limits: readonly Limit[]): readonly Limit[] => (instances === 1 ? limits : limits.map(divided));
  return {
    admit: async (_failure, key, limits, cost) => namespaces.use(owner).admit(key, own(limits), cost),
    check: async (_failure, key, limits, cost) => {
      return asFallback(await namespaces.use(owner).check(key, own(limits), cost));
    },
    peek: async (_failure, key, limits, cost) => {
      return asFallback(await namespaces.use(owner).peek(key, own(limits), cost));
    },
    state: async (_failure, key) => namespaces.use(owner).state(key),
    reset: (key) => namespaces.reset(owner, key),
    close: () => namespaces.release(owner),
  };
}

function asFallback(result: StoreResult): StoreResult {
  return { ...result, source: "fallback" };
}
