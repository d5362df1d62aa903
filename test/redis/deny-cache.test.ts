import { setTimeout as sleep } from "node:timers/promises";
import { AdaptiveRateLimiter, AsyncRateLimiter, type Decision, LayeredRateLimiter } from "sluicegate";
import { RedisStore, type RedisStoreOptions } from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { DenyCache } from "../../src/redis/deny-cache.js";
import { Oracle } from "../property/oracle.js";
import { realRedis } from "./real-redis.js";
import { withoutRedis } from "./redis-process.js";

const LIMITS = [{ name: undefined, maxCalls: 2, periodMs: 60_000, reducedFrom: undefined }];

describe("a cache of denials", () => {
  let now: number;
  let cache: DenyCache;
  beforeEach(() => {
    now = 0;
    cache = new DenyCache(1000, () => now);
  });
  const refuses = (cost = 1, limits = LIMITS): boolean => cache.refuses("ada", limits, cost);

  it("refuses until the first instant at which the call could pass, from when it was sent, or for maxAge", () => {
    const sending = cache.sending();
    now = 30;
    cache.note("ada", LIMITS, 1, 500, undefined, sending);
    expect(refuses()).toBe(true);
    // A millisecond early: the server may have begun its own before this was sent.
    now = 498.9;
    expect(refuses()).toBe(true);
    now = 499;
    expect(refuses()).toBe(false);
    for (const wait of [1001, 60_000, Infinity]) {
      now = 0;
      cache.note("ada", LIMITS, 1, wait, undefined, cache.sending());
      now = 999.9;
      expect(refuses()).toBe(true);
      now = 1000;
      expect(refuses()).toBe(false);
    }
  });

  it("refuses at least that cost, by limits none of which is higher", () => {
    cache.note("ada", LIMITS, 2, 500, undefined, cache.sending());
    expect([refuses(1), refuses(2), refuses(3)]).toEqual([false, true, true]);
    const [limit] = LIMITS as [(typeof LIMITS)[number]];
    expect(refuses(2, [{ ...limit, maxCalls: 1 }])).toBe(true);
    expect(refuses(2, [{ ...limit, maxCalls: 3 }])).toBe(false);
    expect(refuses(2, [{ ...limit, periodMs: 59_999 }])).toBe(false);
    expect(refuses(2, [limit, limit])).toBe(false);
  });

  it("notes no denial that was under way when something was changed, or while that was", async () => {
    const before = cache.sending();
    let during = before;
    await cache.whileChanging("ben", async () => {
      during = cache.sending();
    });
    const after = cache.sending();
    for (const [sending, isNoted] of [
      [before, false],
      [during, false],
      [after, true],
    ] as const) {
      cache.note("ada", LIMITS, 1, 500, undefined, sending);
      expect(refuses()).toBe(isNoted);
    }
    await expect(cache.whileChanging("ada", () => Promise.reject(new Error("gone")))).rejects.toThrow("gone");
    expect(refuses()).toBe(false);
  });

  it("holds no more than ten thousand keys", () => {
    const size = (): number => {
      let held = 0;
      for (let key = 0; key < 25_000; key += 1) held += cache.refuses(String(key), LIMITS, 1) ? 1 : 0;
      return held;
    };
    for (let key = 0; key < 25_000; key += 1) {
      cache.note(String(key), LIMITS, 1, 500, undefined, cache.sending());
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
    const oracle = new Oracle();
    const own = new DenyCache(50, () => now);
    let refusedHere = 0;
    for (let step = 0; step < 20_000; step += 1) {
      now += pick(400) / 100;
      const cost = 1 + pick(3);
      if (own.refuses("ada", limits, cost)) {
        refusedHere += 1;
        expect([step, oracle.answer("ada", limits, cost, Math.floor(now)).allowed]).toEqual([step, false]);
        continue;
      }
      const sending = own.sending();
      now += pick(300) / 100;
      const { allowed, retryAfterMs } = oracle.check("ada", limits, cost, Math.floor(now), Math.ceil(now));
      now += pick(300) / 100;
      if (!allowed) own.note("ada", limits, cost, retryAfterMs, undefined, sending);
    }
    expect(refusedHere).toBeGreaterThan(2000);
  });
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
    await limiter.check("who makes the script known");
    const [before, start] = [await commands(), performance.now()];
    let admitted = 0;
    let asked = 0;
    while (performance.now() - start < 450) {
      for (let burst = 0; burst < 100; burst += 1, asked += 1) admitted += (await limiter.isAllowed("ada")) ? 1 : 0;
      await sleep(1);
    }
    const most = 5 + Math.ceil((performance.now() - start) / 100) + 1;
    expect(admitted).toBe(5);
    expect(asked).toBeGreaterThan(1000);
    expect((await commands()) - before).toBeLessThanOrEqual(most);
  });

  it("says what Redis would have said", async () => {
    const limits = [
      { name: "Burst", maxCalls: 2, period: "1h" },
      { name: "Daily", maxCalls: 9, period: "1d" },
    ] as const;
    const cached = new LayeredRateLimiter({ limits, store: store() });
    const asking = new LayeredRateLimiter({ limits, store: store({ denyCache: false }) });
    await cached.check("ada", { cost: 2 });
    expect((await cached.check("ada")).source).toBe("redis");
    await sleep(20);
    const here = await cached.check("ada");
    const there = await asking.check("ada");
    expect(here).toMatchObject({ allowed: false, source: "deny-cache", reason: there.reason, remaining: 0 });
    expect(here.limit).toEqual(there.limit);
    expect(here.layers.map(({ remaining }) => remaining)).toEqual([0, 7]);
    for (const field of ["retryAfterMs", "resetAfterMs"] as const)
      expect(Math.abs(here[field] - there[field])).toBeLessThan(100);
    // A cost that can never pass is asked about, and then known.
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

  it("forgets at once what is changed here, and within maxAge what is changed elsewhere", async () => {
    const shared = store({ denyCache: { maxAge: "400ms" } });
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: shared });
    const elsewhere = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: store() });
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

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "1h", name: "adaptive", store: shared });
    adaptive.adjustForLoad(1, 1);
    await adaptive.check("ada");
    expect((await adaptive.check("ada")).reduced).toBe(true);
    expect(await adaptive.check("ada")).toMatchObject({ reduced: true, source: "deny-cache" });
    adaptive.adjustForLoad(0, 0);
    expect(await adaptive.isAllowed("ada")).toBe(true);
  });

  it("asks each time where it is switched off", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 0, period: "1h", store: store({ denyCache: false }) });
    const before = await commands();
    for (let calls = 0; calls < 5; calls += 1) expect((await limiter.check("ada")).source).toBe("redis");
    expect((await commands()) - before).toBe(5);
  });
});
