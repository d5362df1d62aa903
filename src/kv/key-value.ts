import { memberOf, typeError } from "../core/validate.js";

/** A value, or a promise of it: a key-value store may be synchronous. */
type Later<T> = T | PromiseLike<T>;

/**
 * A key-value store, as a `KeyValueStore` uses it: any cache with these four methods, a `Map` included. Limits are exact in one
 * process only, because two processes may read the same text, and the later write replaces the earlier one.
 *
 * Keys are strings of up to 193 characters from `0-9a-h`, and texts printable ASCII without spaces, quotes or braces. Each method
 * settles when the store has done it: a write must not be buffered, dropped or repeated later.
 */
export interface KeyValue {
  /** The text of a key; `undefined` or `null` if it has none. */
  get(key: string): Later<string | null | undefined>;
  /** Replaces the text of a key. It has no effect after `ttlMs` milliseconds, and may be deleted then, but not before. */
  set(key: string, text: string, ttlMs: number): Later<unknown>;
  /** Deletes a key, if there is one. */
  delete(key: string): Later<unknown>;
  /** All keys that begin with `prefix`; others are ignored. Only `reset()` of all keys of a limiter needs this method. */
  keys?(prefix: string): Later<Iterable<string>> | AsyncIterable<string>;
}

/**
 * A key-value store that writes a text only if it has not changed since it was read. Limits are exact in all processes.
 *
 * A version identifies what was written: it is never used again for another text of the key, even after the key was deleted. A
 * revision, an etag or a random number will do, and so will the text itself.
 */
export interface VersionedKeyValue {
  /** The text of a key and its version; `undefined`, `null` or a `value` of these if it has none. */
  get(key: string): Later<{ readonly value: string | null | undefined; readonly version?: unknown } | null | undefined>;
  /**
   * Replaces the text of a key and resolves true, if the version of the key is still that of `get`; else changes nothing, and resolves
   * false.
   *
   * Compares and writes in one atomic step of the store. It must not be repeated by itself when the outcome is unknown: reject then.
   *
   * @param version - undefined if `get` found nothing, or returned no version.
   * @param ttlMs - as in {@link KeyValue.set}.
   */
  compareAndSet(key: string, version: unknown, text: string, ttlMs: number): Later<boolean>;
  /** As {@link KeyValue.delete}. */
  delete(key: string): Later<unknown>;
  /** As {@link KeyValue.keys}. */
  keys?(prefix: string): Later<Iterable<string>> | AsyncIterable<string>;
}

/** Checks the option `kv`, and returns it. @throws TypeError if a method is missing. */
export function assertKeyValue(kv: unknown): KeyValue | VersionedKeyValue {
  const has = (name: keyof KeyValue | keyof VersionedKeyValue): boolean => typeof memberOf(kv, name) === "function";
  if (has("get") && has("delete") && (has("set") || has("compareAndSet"))) return kv as KeyValue | VersionedKeyValue;
  throw typeError("kv", "an object with the methods `get`, `delete`, and `set` or `compareAndSet`", kv);
}

/** Whether a checked `kv` compares versions. */
export function isVersioned(kv: KeyValue | VersionedKeyValue): kv is VersionedKeyValue {
  return typeof memberOf(kv, "compareAndSet") === "function";
}
