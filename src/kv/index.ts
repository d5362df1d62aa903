export type { KeyValue, VersionedKeyValue } from "./key-value.js";
export type { ExactAcross, KeyValueStoreOptions } from "./key-value-store.js";
export { KeyValueStore } from "./key-value-store.js";
