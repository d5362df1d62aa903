import type { Clock } from "sluicegate";
import { KeyValueStore, type KeyValue } from "sluicegate/kv";
import { expect, it } from "vitest";
import { StoreTime } from "../../src/store/store-time.js";
import { expectAgreement } from "../support/model-run.js";

/** Deletes each key when its time is over, by the same clock. */
function expiringKeyValue(clock: Clock): KeyValue {
  const time = new StoreTime(clock);
  const texts = new Map<string, { readonly text: string; readonly until: number }>();
  return {
    get: (key) => {
      time.read();
      const found = texts.get(key);
      return found === undefined || found.until <= time.now ? undefined : found.text;
    },
    set: (key, text, ttlMs) => {
      expect(Number.isInteger(ttlMs) && ttlMs > 0).toBe(true);
      time.read();
      texts.set(key, { text, until: time.now + ttlMs });
    },
    delete: (key) => texts.delete(key),
    keys: () => texts.keys(),
  };
}

it("a limiter over a key-value store agrees with the model on every field after each of 24,000 random steps", async () => {
  await expectAgreement(300, (clock) => new KeyValueStore({ kv: expiringKeyValue(clock), clock }));
});
