import { beforeEach, describe, expect, it } from "vitest";
import { DenyCache, whileChanging } from "../../../../src/store/remote/deny-cache.js";
import { Model } from "../../../support/model.js";

const LIMITS = [{ name: undefined, maxCalls: 2, periodMs: 60_000, reducedFrom: undefined }];

describe("a cache of denials", () => {
  let now: number;
  let cache: DenyCache;
  beforeEach(() => {
    now = 0;
    cache = new DenyCache(1000, { now: () => now });
  });
  const caches = (): ReadonlyMap<number, DenyCache> => new Map([[1000, cache]]);
  const refuses = (cost = 1, limits = LIMITS): boolean => cache.refuses("ada", limits, cost);

  it("refuses until the first instant at which the call could pass, from when it was sent, or for maxAge", () => {
    const sent = cache.stamp("ada", 1);
    now = 30;
    cache.store("ada", LIMITS, 1, { retryAfterMs: 500 }, undefined, sent);
    expect(refuses()).toBe(true);
    // A millisecond early: the server may have begun its own before this was sent.
    now = 498.9;
    expect(refuses()).toBe(true);
    now = 499;
    expect(refuses()).toBe(false);
    for (const wait of [1001, 60_000, Infinity]) {
      now = 0;
      cache.store("ada", LIMITS, 1, { retryAfterMs: wait }, undefined, cache.stamp("ada", 1));
      now = 999.9;
      expect(refuses()).toBe(true);
      now = 1000;
      expect(refuses()).toBe(false);
    }
  });

  it("sends one call after maxAge, and refuses others until its reply, the wait or another maxAge is over", () => {
    const review = (wait: number): ReturnType<DenyCache["stamp"]> => {
      now = 0;
      cache.store("ada", LIMITS, 1, { retryAfterMs: wait }, undefined, cache.stamp("ada", 1));
      now = 1200;
      expect(refuses()).toBe(false);
      const sent = cache.stamp("ada", 1);
      expect(refuses()).toBe(true);
      return sent;
    };
    // Refused again: for maxAge from then on.
    cache.store("ada", LIMITS, 1, { retryAfterMs: 58_800 }, undefined, review(60_000));
    now = 2199;
    expect(refuses()).toBe(true);
    // Admitted: the limit was reset elsewhere.
    review(60_000);
    cache.admitted("ada", 1);
    expect(refuses()).toBe(false);
    // Without a reply.
    review(60_000);
    now = 2199;
    expect(refuses()).toBe(true);
    now = 2200;
    expect(refuses()).toBe(false);
    cache.stamp("ada", 1);
    expect(refuses()).toBe(false);
    // The wait ends first.
    review(1500);
    now = 1498.9;
    expect(refuses()).toBe(true);
    now = 1499;
    expect(refuses()).toBe(false);
  });

  it("keeps a denial when the reply to an earlier call arrives too late to refuse anything", () => {
    const early = cache.stamp("ada", 1);
    now = 900;
    cache.store("ada", LIMITS, 1, { retryAfterMs: 60_000 }, undefined, cache.stamp("ada", 1));
    now = 1001;
    cache.store("ada", LIMITS, 1, { retryAfterMs: 60_000 }, undefined, early);
    expect(refuses()).toBe(true);
  });

  it("keeps a denial when a call of lower cost is admitted", () => {
    cache.store("ada", LIMITS, 2, { retryAfterMs: 60_000 }, undefined, cache.stamp("ada", 2));
    cache.admitted("ada", 1);
    expect(refuses(2)).toBe(true);
    now = 1000;
    cache.stamp("ada", 1);
    expect(refuses(2)).toBe(false);
    cache.stamp("ada", 2);
    expect(refuses(2)).toBe(true);
    cache.admitted("ada", 2);
    expect(refuses(2)).toBe(false);
  });

  it("refuses at least that cost, by limits none of which is higher", () => {
    cache.store("ada", LIMITS, 2, { retryAfterMs: 500 }, undefined, cache.stamp("ada", 2));
    expect([refuses(1), refuses(2), refuses(3)]).toEqual([false, true, true]);
    const [limit] = LIMITS as [(typeof LIMITS)[number]];
    expect(refuses(2, [{ ...limit, maxCalls: 1 }])).toBe(true);
    expect(refuses(2, [{ ...limit, maxCalls: 3 }])).toBe(false);
    expect(refuses(2, [{ ...limit, periodMs: 59_999 }])).toBe(false);
    expect(refuses(2, [limit, limit])).toBe(false);
  });

  it("refuses a call whose refusal may be a strike only while its key is locked", () => {
    const both = (): boolean[] => [false, true].map((mayStrike) => cache.refuses("ada", LIMITS, 1, mayStrike));
    cache.store("ada", LIMITS, 1, { retryAfterMs: 60_000 }, undefined, cache.stamp("ada", 1));
    expect(both()).toEqual([true, false]);
    cache.store("ada", LIMITS, 1, { retryAfterMs: 60_000, lockedForMs: 500 }, undefined, cache.stamp("ada", 1));
    now = 498.9;
    expect(both()).toEqual([true, true]);
    now = 499;
    expect(both()).toEqual([true, false]);
    cache.store("ada", LIMITS, 1, { retryAfterMs: 60_000, lockedForMs: 60_000 }, undefined, cache.stamp("ada", 1));
    now = 1498.9;
    expect(both()).toEqual([true, true]);
    now = 1499;
    expect(both()).toEqual([false, false]);
  });

  it.each([
    ["that key", "ada", false],
    ["every key", undefined, false],
    ["another key", "ben", true],
  ])("stores a denial that was sent before or during a change of %s: %s, %s", async (_, changed, isNoted) => {
    for (const moment of ["before", "during", "after"] as const) {
      cache = new DenyCache(1000, { now: () => now });
      let sent = cache.stamp("ada", 1);
      await whileChanging(caches(), changed, async () => {
        if (moment === "during") sent = cache.stamp("ada", 1);
      });
      if (moment === "after") sent = cache.stamp("ada", 1);
      cache.store("ada", LIMITS, 1, { retryAfterMs: 500 }, undefined, sent);
      expect([moment, refuses()]).toEqual([moment, isNoted || moment === "after"]);
    }
  });

  it("drops the denial of a key that is changed, whatever comes of the change, and no other", async () => {
    for (const key of ["ada", "ben"])
      cache.store(key, LIMITS, 1, { retryAfterMs: 500 }, undefined, cache.stamp(key, 1));
    await expect(whileChanging(caches(), "ada", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect([refuses(), cache.refuses("ben", LIMITS, 1)]).toEqual([false, true]);
  });

  it("stores no stale denial after more changes than it holds, and keeps the denials of unchanged keys", async () => {
    cache.store("ben", LIMITS, 1, { retryAfterMs: 500 }, undefined, cache.stamp("ben", 1));
    const sent = cache.stamp("ada", 1);
    await whileChanging(caches(), "ada", async () => undefined);
    for (let key = 0; key < 10_000; key += 1) await whileChanging(caches(), String(key), async () => undefined);
    cache.store("ada", LIMITS, 1, { retryAfterMs: 500 }, undefined, sent);
    expect([refuses(), cache.refuses("ben", LIMITS, 1)]).toEqual([false, true]);
    cache.store("ada", LIMITS, 1, { retryAfterMs: 500 }, undefined, cache.stamp("ada", 1));
    expect(refuses()).toBe(true);
  });

  it("holds no more than ten thousand keys", () => {
    const size = (): number => {
      let held = 0;
      for (let key = 0; key < 25_000; key += 1) held += cache.refuses(String(key), LIMITS, 1) ? 1 : 0;
      return held;
    };
    for (let key = 0; key < 25_000; key += 1) {
      cache.store(String(key), LIMITS, 1, { retryAfterMs: 500 }, undefined, cache.stamp(String(key), 1));
      if (key === 9999) expect(size()).toBe(10_000);
    }
    expect(size()).toBe(5000);
  });

  it("never refuses what brute force would let pass, however long the ways are", () => {
    let state = 7;
    const pick = (below: number): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((state / 2 ** 32) * below);
    };
    const limits = [
      { name: "Burst", maxCalls: 3, periodMs: 20, reducedFrom: undefined },
      { name: "Long", maxCalls: 10, periodMs: 200, reducedFrom: undefined },
    ];
    const model = new Model();
    const own = new DenyCache(50, { now: () => now });
    let refusedHere = 0;
    for (let step = 0; step < 20_000; step += 1) {
      now += pick(400) / 100;
      const cost = 1 + pick(3);
      if (own.refuses("ada", limits, cost)) {
        refusedHere += 1;
        expect([step, model.peek("ada", limits, cost, Math.floor(now)).allowed]).toEqual([step, false]);
        continue;
      }
      const sent = own.stamp("ada", cost);
      now += pick(300) / 100;
      const { allowed, retryAfterMs } = model.check("ada", limits, cost, Math.floor(now), Math.ceil(now));
      now += pick(300) / 100;
      if (allowed) own.admitted("ada", cost);
      else own.store("ada", limits, cost, { retryAfterMs }, undefined, sent);
    }
    expect(refusedHere).toBeGreaterThan(2000);
  });
});
