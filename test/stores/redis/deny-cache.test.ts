import { setTimeout as sleep } from "node:timers/promises";
import { AdaptiveRateLimiter, AsyncRateLimiter, type Decision, LayeredRateLimiter } from "sluicegate";
import { RedisRateLimiter, RedisStore, type RedisStoreOptions } from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { realRedis } from "../../support/redis/real-redis.js";
import { scriptStandIn } from "../../support/redis/script-stand-in.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

describe("a key under attack", () => {
  it.each(["isAllowed", "check"] as const)(
    "costs one command a second of `%s`, beside 1,000 refunds a second of other keys",
    async (verb) => {
      let ofAttacked = 0;
      const server = scriptStandIn((method, key) => {
        const isAttacked = key.endsWith(":attacked");
        if (isAttacked) ofAttacked += 1;
        if (method === "refund") return 1;
        if (isAttacked) return method === "admit" ? -3_600_000 : "0 1 1000 0 3 3600000 3600000";
        return "1 1 1000 0 1 0 3600000";
      });
      const client = async (command: string[]): Promise<unknown> => {
        await sleep(2);
        return server(command);
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

  it("refuses a call at the maxCalls of the denial or a lower one, and none at a higher one", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1h", store: store() });
    await limiter.check("ada", { cost: 3 });
    expect(await limiter.check("ada", { maxCalls: 2 })).toMatchObject({ allowed: false, source: "redis" });
    const before = await commands();
    expect(await limiter.check("ada", { maxCalls: 2 })).toMatchObject({ source: "deny-cache", limit: { maxCalls: 2 } });
    expect(await limiter.isAllowed("ada", { maxCalls: 1 })).toBe(false);
    expect((await commands()) - before).toBe(0);
    // The wait for a lower limit is longer than that of the denial.
    expect(await limiter.check("ada", { maxCalls: 1 })).toMatchObject({ source: "redis", limit: { maxCalls: 1 } });
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, source: "redis", limit: { maxCalls: 3 } });
    expect(await limiter.check("ada")).toMatchObject({ source: "deny-cache" });
    expect(await limiter.check("ada", { maxCalls: 4 })).toMatchObject({ allowed: true, source: "redis", remaining: 0 });
    expect(await limiter.isAllowed("ada", { maxCalls: 4 })).toBe(false);
    limiter.setMaxCalls(5);
    expect(await limiter.isAllowed("ada")).toBe(true);
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
