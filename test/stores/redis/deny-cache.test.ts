import { setTimeout as sleep } from "node:timers/promises";
import { AdaptiveRateLimiter, AsyncRateLimiter, type Decision, LayeredRateLimiter } from "sluicegate";
import { RedisRateLimiter, RedisStore, type RedisStoreOptions } from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { DenyCache, whileChanging } from "../../../src/redis/deny-cache.js";
import { Model } from "../../support/model.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

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
    cache.store("ada", LIMITS, 1, 500, undefined, sent);
    expect(refuses()).toBe(true);
    // A millisecond early: the server may have begun its own before this was sent.
    now = 498.9;
    expect(refuses()).toBe(true);
    now = 499;
    expect(refuses()).toBe(false);
    for (const wait of [1001, 60_000, Infinity]) {
      now = 0;
      cache.store("ada", LIMITS, 1, wait, undefined, cache.stamp("ada", 1));
      now = 999.9;
      expect(refuses()).toBe(true);
      now = 1000;
      expect(refuses()).toBe(false);
    }
  });

  it("sends one call after maxAge, and refuses others until its reply, the wait or another maxAge is over", () => {
    const review = (wait: number): ReturnType<DenyCache["stamp"]> => {
      now = 0;
      cache.store("ada", LIMITS, 1, wait, undefined, cache.stamp("ada", 1));
      now = 1200;
      expect(refuses()).toBe(false);
      const sent = cache.stamp("ada", 1);
      expect(refuses()).toBe(true);
      return sent;
    };
    // Refused again: for maxAge from then on.
    cache.store("ada", LIMITS, 1, 58_800, undefined, review(60_000));
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
    cache.store("ada", LIMITS, 1, 60_000, undefined, cache.stamp("ada", 1));
    now = 1001;
    cache.store("ada", LIMITS, 1, 60_000, undefined, early);
    expect(refuses()).toBe(true);
  });

  it("keeps a denial when a call of lower cost is admitted", () => {
    cache.store("ada", LIMITS, 2, 60_000, undefined, cache.stamp("ada", 2));
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
    cache.store("ada", LIMITS, 2, 500, undefined, cache.stamp("ada", 2));
    expect([refuses(1), refuses(2), refuses(3)]).toEqual([false, true, true]);
    const [limit] = LIMITS as [(typeof LIMITS)[number]];
    expect(refuses(2, [{ ...limit, maxCalls: 1 }])).toBe(true);
    expect(refuses(2, [{ ...limit, maxCalls: 3 }])).toBe(false);
    expect(refuses(2, [{ ...limit, periodMs: 59_999 }])).toBe(false);
    expect(refuses(2, [limit, limit])).toBe(false);
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
      cache.store("ada", LIMITS, 1, 500, undefined, sent);
      expect([moment, refuses()]).toEqual([moment, isNoted || moment === "after"]);
    }
  });

  it("drops the denial of a key that is changed, whatever comes of the change, and no other", async () => {
    for (const key of ["ada", "ben"]) cache.store(key, LIMITS, 1, 500, undefined, cache.stamp(key, 1));
    await expect(whileChanging(caches(), "ada", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect([refuses(), cache.refuses("ben", LIMITS, 1)]).toEqual([false, true]);
  });

  it("stores no stale denial after more changes than it holds, and keeps the denials of unchanged keys", async () => {
    cache.store("ben", LIMITS, 1, 500, undefined, cache.stamp("ben", 1));
    const sent = cache.stamp("ada", 1);
    await whileChanging(caches(), "ada", async () => undefined);
    for (let key = 0; key < 10_000; key += 1) await whileChanging(caches(), String(key), async () => undefined);
    cache.store("ada", LIMITS, 1, 500, undefined, sent);
    expect([refuses(), cache.refuses("ben", LIMITS, 1)]).toEqual([false, true]);
    cache.store("ada", LIMITS, 1, 500, undefined, cache.stamp("ada", 1));
    expect(refuses()).toBe(true);
  });

  it("holds no more than ten thousand keys", () => {
    const size = (): number => {
      let held = 0;
      for (let key = 0; key < 25_000; key += 1) held += cache.refuses(String(key), LIMITS, 1) ? 1 : 0;
      return held;
    };
    for (let key = 0; key < 25_000; key += 1) {
      cache.store(String(key), LIMITS, 1, 500, undefined, cache.stamp(String(key), 1));
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
      else own.store("ada", limits, cost, retryAfterMs, undefined, sent);
    }
    expect(refusedHere).toBeGreaterThan(2000);
  });
});

describe("a key under attack", () => {
  it.each(["isAllowed", "check"] as const)(
    "costs one command a second of `%s`, beside 1,000 refunds a second of other keys",
    async (verb) => {
      let ofAttacked = 0;
      const client = async ([, , , name = "", what = ""]: string[]): Promise<unknown> => {
        const isAttacked = name.endsWith(":attacked");
        if (isAttacked) ofAttacked += 1;
        await sleep(2);
        if (what === "refund") return 1;
        if (isAttacked) return what === "admit" ? -3_600_000 : "0 1 1000 0 3 3600000 3600000";
        return "1 1 1000 0 1 0 3600000";
      };
      // No reply is late on a starved machine: with an open circuit, refunds would reject.
      const limiter = new RedisRateLimiter({ maxCalls: 3, period: "1h", client, timeout: "30s" });
      await limiter[verb]("attacked");
      const start = performance.now();
      const calls: Promise<unknown>[] = [];
      let [others, attempts] = [0, 0];
      while (performance.now() - start < 2500) {
        // As many as are due, and at most 20 a turn: a starved machine does not catch up in one turn.
        const due = Math.min(2500, others + 20, performance.now() - start);
        for (; others < due; others += 1) {
          calls.push(limiter.check(`other ${others}`).then((decision) => limiter.refund(decision)));
        }
        // At most 10,000 attempts a second: without a bound, a fast machine collects millions of promises.
        const mostAttempts = 10 * (performance.now() - start);
        for (let burst = 0; burst < 5 && attempts < mostAttempts; burst += 1, attempts += 1) {
          calls.push(limiter[verb]("attacked"));
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
      const seconds = (performance.now() - start) / 1000;
      expect((await Promise.all(calls)).filter((refunded) => refunded === true).length).toBe(others);
      expect(attempts).toBeGreaterThan(1000);
      expect(ofAttacked).toBeLessThanOrEqual(1 + Math.floor(seconds));
    },
  );
});

describe.skipIf(withoutRedis !== undefined)("a RedisStore with a cache of denials", () => {
  const redis = realRedis();
  const store = (options: Partial<RedisStoreOptions> = {}): RedisStore =>
    new RedisStore({ client: redis.client, timeout: "5s", whenDown: "deny", ...options });
  const commands = async (): Promise<number> =>
    Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.client.info("commandstats"))?.[1] ?? 0);

  beforeEach(async () => {
    vi.spyOn(process, "emitWarning").mockReturnValue();
    await redis.client.flushall();
  });

  it("sends maxCalls commands for a key under attack, and one for each maxAge", async () => {
    const limiter = new AsyncRateLimiter({
      maxCalls: 5,
      period: "1h",
      store: store({ denyCache: { maxAge: "100ms" } }),
    });
    await limiter.check("loads the script");
    const [before, start] = [await commands(), performance.now()];
    let admitted = 0;
    let attempts = 0;
    while (performance.now() - start < 450) {
      for (let burst = 0; burst < 100; burst += 1, attempts += 1) admitted += (await limiter.isAllowed("ada")) ? 1 : 0;
      await sleep(1);
    }
    const most = 5 + Math.ceil((performance.now() - start) / 100) + 1;
    expect(admitted).toBe(5);
    expect(attempts).toBeGreaterThan(1000);
    expect((await commands()) - before).toBeLessThanOrEqual(most);
  });

  it("returns the decision that Redis would return", async () => {
    const limits = [
      { name: "Burst", maxCalls: 2, period: "1h" },
      { name: "Daily", maxCalls: 9, period: "1d" },
    ] as const;
    const cached = new LayeredRateLimiter({ limits, store: store() });
    const uncached = new LayeredRateLimiter({ limits, store: store({ denyCache: false }) });
    await cached.check("ada", { cost: 2 });
    expect((await cached.check("ada")).source).toBe("redis");
    await sleep(20);
    const here = await cached.check("ada");
    const there = await uncached.check("ada");
    expect(here).toMatchObject({ allowed: false, source: "deny-cache", reason: there.reason, remaining: 0 });
    expect(here.limit).toEqual(there.limit);
    expect(here.layers.map(({ remaining }) => remaining)).toEqual([0, 7]);
    for (const field of ["retryAfterMs", "resetAfterMs"] as const)
      expect(Math.abs(here[field] - there[field])).toBeLessThan(100);
    // A cost that can never pass is sent once, and then cached.
    expect(await cached.check("ada", { cost: 3 })).toMatchObject({ retryAfterMs: Infinity, source: "redis" });
    expect(await cached.check("ada", { cost: 4 })).toMatchObject({ retryAfterMs: Infinity, source: "deny-cache" });
    expect((await cached.check("ada", { cost: 1 })).retryAfterMs).toBeLessThan(Infinity);
  });

  it("lets a call pass when its wait is over", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "150ms", store: store() });
    for (let round = 0; round < 3; round += 1) {
      expect(await limiter.isAllowed("ada")).toBe(true);
      expect(await limiter.isAllowed("ada")).toBe(false);
      const { retryAfterMs } = await limiter.check("ada");
      expect((await limiter.check("ada")).source).toBe("deny-cache");
      await sleep(retryAfterMs + 2);
    }
  });

  it("drops a denial immediately when its key is changed in this process, and within maxAge when it is changed in another", async () => {
    const shared = store({ denyCache: { maxAge: "400ms" } });
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: shared });
    // Another client shares no deny cache, as another process does not.
    const otherClient = redis.client.duplicate();
    const elsewhere = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: store({ client: otherClient }) });
    let decision: Decision;
    for (const change of [() => limiter.reset("ada"), () => limiter.reset(), () => limiter.refund(decision)]) {
      await limiter.reset();
      decision = await limiter.check("ada");
      expect(await limiter.isAllowed("ada")).toBe(false);
      await change();
      expect(await limiter.isAllowed("ada")).toBe(true);
    }
    expect(await limiter.isAllowed("ada")).toBe(false);
    await elsewhere.reset("ada");
    expect(await limiter.isAllowed("ada")).toBe(false);
    await sleep(405);
    expect(await limiter.isAllowed("ada")).toBe(true);
    otherClient.disconnect();

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "1h", name: "adaptive", store: shared });
    adaptive.adjustForLoad(1, 1);
    await adaptive.check("ada");
    expect((await adaptive.check("ada")).reduced).toBe(true);
    expect(await adaptive.check("ada")).toMatchObject({ reduced: true, source: "deny-cache" });
    adaptive.adjustForLoad(0, 0);
    expect(await adaptive.isAllowed("ada")).toBe(true);
  });

  it("sends a command for each call if it is disabled", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 0, period: "1h", store: store({ denyCache: false }) });
    const before = await commands();
    for (let calls = 0; calls < 5; calls += 1) expect((await limiter.check("ada")).source).toBe("redis");
    expect((await commands()) - before).toBe(5);
  });
});
