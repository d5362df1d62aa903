import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCache } from "cache-manager";
import Keyv from "keyv";
import { KeyValueStore, type KeyValue, type VersionedKeyValue } from "sluicegate/kv";
import { createStorage, type Driver, type Storage } from "unstorage";
import fileDriverOf from "unstorage/drivers/fs";
import { afterAll, beforeAll, describe } from "vitest";
import { randomLatency, simpleKeyValue, versionedKeyValue } from "../../support/key-values.js";
import { itIsAStore } from "../store-contract.js";

let folder: string;
let made = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluicegate-kv-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Its types are not found by every compiler. */
const fileDriver = fileDriverOf as (options: { readonly base: string }) => Driver;

/** As in docs/guide/key-value-stores.md. */
const ofUnstorage = (storage: Storage): KeyValue => ({
  get: (key) => storage.getItem<string>(key),
  set: (key, text, ttlMs) => storage.setItem(key, text, { ttl: Math.ceil(ttlMs / 1000) }),
  delete: (key) => storage.removeItem(key),
  keys: () => storage.getKeys(),
});

const ofKeyv = (keyv: Keyv): KeyValue => ({
  get: (key) => keyv.get<string>(key),
  set: (key, text, ttlMs) => keyv.set(key, text, ttlMs),
  delete: (key) => keyv.delete(key),
  async *keys() {
    for await (const [key] of keyv.iterator?.({}) ?? []) yield String(key);
  },
});

const KINDS: Readonly<Record<string, () => KeyValue | VersionedKeyValue>> = {
  "a Map": () => new Map<string, string>(),
  "a store with random latency": () => simpleKeyValue(randomLatency),
  "a store with versions": () => versionedKeyValue(),
  "a store with versions and random latency": () => versionedKeyValue(randomLatency),
  "unstorage, in memory": () => ofUnstorage(createStorage()),
  "unstorage, in files": () =>
    ofUnstorage(createStorage({ driver: fileDriver({ base: join(folder, String((made += 1))) }) })),
  Keyv: () => ofKeyv(new Keyv({ throwOnErrors: true })),
  "the Keyv of cache-manager": () => ofKeyv(createCache().stores[0]!),
};

describe.each(Object.entries(KINDS))("a KeyValueStore over %s", (_name, make) => {
  itIsAStore({ store: () => new KeyValueStore({ kv: make(), timeout: "20s" }), source: "kv", locks: true });
});
