import { setTimeout as sleep } from "node:timers/promises";
import type { KeyValue, VersionedKeyValue } from "sluicegate/kv";

/** How an operation of a key-value store takes place: it happens when `apply` is called. */
export type Latency = <T>(apply: () => T) => Promise<T>;

/** Each operation happens, and is reported, at random instants, so operations that were sent one after another change places. */
export const randomLatency: Latency = async (apply) => {
  await sleep(3 * Math.random());
  const result = apply();
  await sleep(2 * Math.random());
  return result;
};

/** A key-value store without versions. */
export function simpleKeyValue(
  latency: Latency = async (apply) => apply(),
  texts = new Map<string, string>(),
): KeyValue {
  return {
    get: (key) => latency(() => texts.get(key)),
    set: (key, text) => latency(() => texts.set(key, text)),
    delete: (key) => latency(() => texts.delete(key)),
    keys: (prefix) => latency(() => [...texts.keys()].filter((key) => key.startsWith(prefix))),
  };
}

/** What several versioned key-value stores share, as processes share a server. */
export interface Versions {
  readonly texts: Map<string, { readonly value: string; readonly version: number }>;
  latest: number;
  /** How many writes were refused because the version had changed. */
  conflicts: number;
}

export const versions = (): Versions => ({ texts: new Map(), latest: 0, conflicts: 0 });

/** A key-value store whose versions count its writes. */
export function versionedKeyValue(latency: Latency = async (apply) => apply(), shared = versions()): VersionedKeyValue {
  const { texts } = shared;
  return {
    get: (key) => latency(() => texts.get(key)),
    compareAndSet: (key, version, value) =>
      latency(() => {
        const isUnchanged = texts.get(key)?.version === version;
        if (isUnchanged) texts.set(key, { value, version: (shared.latest += 1) });
        else shared.conflicts += 1;
        return isUnchanged;
      }),
    delete: (key) => latency(() => texts.delete(key)),
    keys: (prefix) => latency(() => [...texts.keys()].filter((key) => key.startsWith(prefix))),
  };
}
