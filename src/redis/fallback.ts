import type { Limit } from "../core/limit.js";
import type { StoreError } from "../core/errors.js";
import { freshResult } from "../store/fresh-result.js";
import type { KeyState, StoreResult } from "../store/store.js";
import type { Opened } from "./shared-client.js";

/** What decides in place of Redis while it cannot, for one namespace. */
export interface Fallback {
  admit(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<boolean>;
  check(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  peek(failure: StoreError, key: string, limits: readonly Limit[], cost: number): Promise<StoreResult>;
  state(failure: StoreError, key: string): Promise<KeyState>;
  /** Forgets what was recorded here. */
  reset(key?: string): Promise<void>;
  /** Releases what was opened for the namespace. */
  close(): void;
}

/** Nobody: every call rejects with what went wrong. */
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
 * Another store, asked by the same limits, each divided among the instances of the service and rounded up: together they
 * admit at most `instances - 1` calls more than the limit, beside what Redis knew of.
 */
export function storeFallback({ space, release }: Opened, instances: number): Fallback {
  const mine = (limits: readonly Limit[]): readonly Limit[] => (instances === 1 ? limits : limits.map(divided));
  const share = (calls: number): number => Math.ceil(calls / instances);
  const divided = ({ maxCalls, reducedFrom, ...limit }: Limit): Limit => {
    return { ...limit, maxCalls: share(maxCalls), reducedFrom: reducedFrom && share(reducedFrom) };
  };
  return {
    admit: async (_failure, key, limits, cost) => space.admit(key, mine(limits), cost),
    check: async (_failure, key, limits, cost) => asFallback(await space.check(key, mine(limits), cost)),
    peek: async (_failure, key, limits, cost) => asFallback(await space.peek(key, mine(limits), cost)),
    state: async (_failure, key) => space.state(key),
    reset: async (key) => space.reset(key),
    close: release,
  };
}

function asFallback(verdict: StoreResult): StoreResult {
  return { ...verdict, source: "fallback" };
}
