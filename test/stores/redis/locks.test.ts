import { setTimeout as sleep } from "node:timers/promises";
import { AdaptiveRateLimiter, allOf, AsyncRateLimiter, MemoryStore, type PolicyOptions } from "sluicegate";
import { RedisRateLimiter, RedisStore, type RedisStoreOptions } from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { realRedis } from "../../support/redis/real-redis.js";
import { scriptStandIn } from "../../support/redis/script-stand-in.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

const KEY = "rate_limit:default:ada";
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

describe.skipIf(withoutRedis !== undefined)("locks in Redis", () => {
  const redis = realRedis();
  const store = (options: Partial<RedisStoreOptions> = {}): RedisStore =>
    new RedisStore({ client: redis.client, timeout: "5s", whenDown: "deny", denyCache: false, ...options });
  type Options = Partial<PolicyOptions<string>> & { readonly maxCalls?: number; readonly period?: "1h" | "50ms" };
  const limiterOf = (options: Options = {}, own: RedisStore = store()): AsyncRateLimiter =>
    new AsyncRateLimiter({ maxCalls: 1, period: "1h", lockFor: ["1h", "2h", "1d"], ...options, store: own });
  const value = async (): Promise<Buffer> => (await redis.client.getBuffer(KEY))!;
  const form = async (): Promise<string> => (await value()).toString("latin1", 0, 3);
  const now = async (): Promise<number> => {
    const [seconds = 0, micros = 0] = await redis.client.time();
    return seconds * 1000 + Math.floor(micros / 1000);
  };

  beforeEach(async () => {
    // The tests use one key with different limits, which causes a warning.
    vi.spyOn(process, "emitWarning").mockReturnValue();
    await redis.client.flushall();
  });

  it("are options of a RedisRateLimiter", async () => {
    const limiter = new RedisRateLimiter({
      maxCalls: 1,
      period: "1h",
      lockFor: "2h",
      forgetAfter: "3d",
      client: redis.client,
      timeout: "5s",
      whenDown: "deny",
    });
    await limiter.check("ada");
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", lockedForMs: 2 * HOUR_MS, strikes: 1 });
    expect(await redis.client.pttl(KEY)).toBeGreaterThan(3 * DAY_MS + 2 * HOUR_MS - 5000);
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", strikes: 1 });
  });

  describe("the value of a key", () => {
    it("has 9 bytes more while it has a lock or strikes, and is as before for a key without them", async () => {
      const limiter = limiterOf({ maxCalls: 3 });
      await limiter.check("ada", { cost: 3 });
      expect([await form(), (await value()).length]).toEqual(["sg1", 35 + 3 * 6]);
      await limiter.check("ada");
      expect([await form(), (await value()).length]).toEqual(["sg2", 44 + 3 * 6]);
      expect(await limiter.unlock("ada")).toBe(true);
      expect([await form(), (await value()).length]).toEqual(["sg1", 35 + 3 * 6]);
      expect(await limiter.unlock("ada")).toBe(false);
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", strikes: 1 });
    });

    it("has a lock without a log, which expires with the lock, and is deleted by unlock", async () => {
      const limiter = limiterOf({ lockFor: undefined });
      await limiter.lock("ada", "1h");
      expect((await value()).length).toBe(44 + 6);
      expect(await redis.client.pttl(KEY)).toBeGreaterThan(HOUR_MS - 5000);
      expect(await redis.client.pttl(KEY)).toBeLessThanOrEqual(HOUR_MS);
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", remaining: 0, strikes: 0 });
      expect(await limiter.unlock("ada")).toBe(true);
      expect(await redis.client.exists(KEY)).toBe(0);
    });

    it("is kept until timestamps, lock and strikes all count no longer", async () => {
      const limiter = limiterOf({ maxCalls: 2, forgetAfter: "3d" });
      await limiter.check("ada", { cost: 2 });
      expect(await redis.client.pttl(KEY)).toBeLessThanOrEqual(HOUR_MS + 1);
      await limiter.isAllowed("ada");
      const ttl = await redis.client.pttl(KEY);
      expect(ttl).toBeGreaterThan(3 * DAY_MS + HOUR_MS - 5000);
      expect(ttl).toBeLessThanOrEqual(3 * DAY_MS + HOUR_MS + 1);
    });

    it("keeps strikes while calls are recorded, and loses them when they are forgotten", async () => {
      const limiter = limiterOf({ maxCalls: 2, period: "50ms", lockFor: "20ms", forgetAfter: "300ms" });
      await limiter.check("ada", { cost: 2 });
      const { retryAfterMs, lockedForMs } = await limiter.check("ada");
      expect(lockedForMs).toBe(retryAfterMs);
      await sleep(retryAfterMs + 2);
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, strikes: 1, lockedForMs: 0 });
      expect(await form()).toBe("sg2");
      expect(await redis.client.pttl(KEY)).toBeGreaterThan(100);
      await sleep(310);
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, strikes: 0 });
      expect(await form()).toBe("sg1");
    });

    it.each([100, 128, 129, 1000])("keeps a log of %i timestamps, wherever its ring begins", async (maxCalls) => {
      const limiter = limiterOf({ maxCalls });
      const epochs = [await limiter.check("ada", { cost: 7 })];
      while (await limiter.isAllowed("ada", { cost: 7 }));
      await limiter.refund(epochs[0]!);
      await limiter.isAllowed("ada", { cost: 7 });
      const { calls } = await limiter.state("ada");
      await limiter.check("ada", { cost: 7, maxCalls: calls });
      // Lock and unlock rewrite the value.
      expect(await limiter.state("ada")).toMatchObject({ calls, strikes: 1 });
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", layers: [{ used: calls }] });
      await limiter.unlock("ada");
      expect(await limiter.state("ada")).toMatchObject({ calls, strikes: 0, lockedUntil: null });
      const rest = maxCalls - calls;
      if (rest > 0) expect(await limiter.check("ada", { cost: rest })).toMatchObject({ allowed: true, remaining: 0 });
      expect((await limiter.state("ada")).calls).toBe(maxCalls);
    });

    it.each<[string, (bytes: Buffer) => Buffer]>([
      ["cut short", (bytes) => bytes.subarray(0, 40)],
      ["with a lock beyond the numbers of the script", (bytes) => (bytes.fill(255, 35, 42), bytes)],
    ])("with a lock, %s, causes a StoreError", async (_, damage) => {
      const limiter = limiterOf();
      await limiter.lock("ada", "1h");
      await redis.client.set(KEY, damage(await value()));
      for (const call of [limiter.check("ada"), limiter.isAllowed("ada"), limiter.lock("ada", "1h")]) {
        await expect(call).rejects.toMatchObject({ code: "STORE_ERROR" });
      }
      await expect(limiter.unlock("ada")).rejects.toMatchObject({ code: "STORE_ERROR" });
    });
  });

  describe("a clock that goes back", () => {
    /** A value whose lock was set by a clock that is `aheadMs` ahead. */
    const lockedAhead = async (aheadMs: number, lockMs: number, strikes: number): Promise<void> => {
      const began = (await now()) + aheadMs;
      const bytes = Buffer.alloc(44 + 6);
      bytes.write("sg2");
      bytes.writeUInt32BE(1, 3);
      bytes.writeUIntBE(began, 15, 6);
      bytes.writeUIntBE(HOUR_MS, 22, 6);
      bytes.writeUIntBE(began + lockMs, 36, 6);
      bytes.writeUInt16BE(strikes, 42);
      await redis.client.set(KEY, bytes);
    };

    it("neither ends a lock nor shortens it", async () => {
      await lockedAhead(30_000, 60_000, 2);
      const { lockedForMs, strikes } = await limiterOf().peek("ada");
      expect(strikes).toBe(2);
      expect(lockedForMs).toBeGreaterThan(85_000);
      expect(lockedForMs).toBeLessThanOrEqual(90_000);
    });

    it("keeps a lock that is set afterwards, even if the clock has gone back by more than its length", async () => {
      await lockedAhead(5000, 1, 0);
      const limiter = limiterOf({ lockFor: "1s" });
      await limiter.lock("ada", "1s");
      const { refusedBy, lockedForMs } = await limiter.check("ada");
      expect(refusedBy).toBe("lock");
      // Until the clock is where it was, and a second more.
      expect(lockedForMs).toBeGreaterThan(5000);
      expect(lockedForMs).toBeLessThanOrEqual(6000);
    });

    it("keeps a long lock that was set by hand, and drops one that began further ahead than it is long", async () => {
      const limiter = limiterOf();
      await lockedAhead(2 * HOUR_MS, 30 * DAY_MS, 0);
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock" });
      await lockedAhead(2 * HOUR_MS, HOUR_MS, 2);
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, strikes: 0, lockedForMs: 0 });
    });
  });

  it("a server that cannot record a strike still refuses the call", async () => {
    const limiter = limiterOf({ maxCalls: 1 });
    await limiter.check("ada");
    await redis.client.config("SET", "maxmemory", "1");
    try {
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", source: "redis", strikes: 0 });
      expect(await limiter.isAllowed("ada")).toBe(false);
      await expect(limiter.lock("ada", "1h")).rejects.toMatchObject({ code: "STORE_ERROR" });
    } finally {
      await redis.client.config("SET", "maxmemory", "0");
    }
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", strikes: 1 });
  });

  it("one of many concurrent refusals is the strike, of several processes too", async () => {
    const clients = [redis.client, redis.client.duplicate(), redis.client.duplicate()];
    const limiters = clients.map((client) => limiterOf({ maxCalls: 5 }, store({ client })));
    const decisions = await Promise.all(Array.from({ length: 90 }, (_, at) => limiters[at % 3]!.check("ada")));
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(5);
    expect(decisions.filter(({ refusedBy }) => refusedBy === "limit")).toHaveLength(1);
    expect(decisions.filter(({ refusedBy }) => refusedBy === "lock")).toHaveLength(84);
    expect(await limiters[0]!.state("ada")).toMatchObject({ strikes: 1, calls: 5 });
    for (const client of clients.slice(1)) client.disconnect();
  });

  it("an unlock or reset with the lock it was decided on does not remove a newer one", async () => {
    const limiter = limiterOf();
    await limiter.check("ada");
    await limiter.check("ada");
    const { lockedUntil } = await limiter.state("ada");
    await sleep(2);
    await limiter.lock("ada", "30m");
    expect(await limiter.unlock("ada", { lockedUntil })).toBe(false);
    await limiter.reset("ada", { lockedUntil });
    await limiter.reset("ada", { lockedUntil: null });
    const state = await limiter.state("ada");
    expect(state).toMatchObject({ calls: 1, strikes: 1 });
    expect(await limiter.unlock("ada", { lockedUntil: state.lockedUntil })).toBe(true);
    expect(await limiter.state("ada")).toMatchObject({ calls: 1, strikes: 0, lockedUntil: null });
    await limiter.reset("ada", { lockedUntil: null });
    expect(await redis.client.exists(KEY)).toBe(0);
  });

  it("a limit that load reduces strikes only if the full limit refuses too", async () => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 4, period: "1h", lockFor: "1h", store: store() });
    limiter.adjustForLoad(1, 1);
    const { maxCalls } = limiter.limits[0]!;
    expect(maxCalls).toBeLessThan(4);
    await limiter.check("ada", { cost: maxCalls });
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "load", strikes: 0 });
    limiter.adjustForLoad(0, 0);
    while (await limiter.isAllowed("ada"));
    expect(await limiter.state("ada")).toMatchObject({ calls: 4, strikes: 1 });
  });

  it("calls of one turn travel in one run, each with the policy of its limiter", async () => {
    const limiters = (["1h", ["2h"], undefined] as const).map((lockFor, at) =>
      limiterOf({ name: `n${at}`, maxCalls: 1, lockFor }),
    );
    const decisions = await Promise.all(
      [0, 1, 2].flatMap((round) => limiters.map(async (limiter) => [round, await limiter.check("ada")] as const)),
    );
    const strikes = (at: number): number[] =>
      decisions.filter((_, i) => i % 3 === at).map(([, { strikes }]) => strikes);
    expect([strikes(0), strikes(1), strikes(2)]).toEqual([
      [0, 1, 1],
      [0, 1, 1],
      [0, 0, 0],
    ]);
  });

  describe("allOf by one script", () => {
    it("strikes the first member that refuses in listed order, whatever the order of creation", async () => {
      const own = store();
      const [late, early] = ["late", "early"].map((name) => limiterOf({ name }, own));
      const both = allOf({ early: early!, late: late! });
      await both.check({ early: "a", late: "b" });
      expect(await both.check({ early: "a", late: "b" })).toMatchObject({
        allowed: false,
        members: { early: { refusedBy: "limit", strikes: 1 }, late: { refusedBy: "limit", strikes: 0 } },
      });
      // Locked: it refuses all, and the refusal of the other is no strike.
      expect(await both.check({ early: "a", late: "b" })).toMatchObject({
        members: { early: { refusedBy: "lock", strikes: 1 }, late: { strikes: 0 } },
      });
      expect(await both.check({ early: "a", late: "c" })).toMatchObject({ allowed: false });
      expect(await late!.state("c")).toMatchObject({ calls: 0 });
    });

    it("a member in shadow mode strikes if none refuses before it, and hides no strike of another", async () => {
      const own = store();
      const spy = limiterOf({ name: "spy", mode: "shadow" }, own);
      const user = limiterOf({ name: "user", maxCalls: 2 }, own);
      const both = allOf({ spy, user });
      await both.check({ spy: "a", user: "b" });
      expect(await both.check({ spy: "a", user: "b" })).toMatchObject({
        allowed: true,
        members: { spy: { shadowed: true, refusedBy: "limit", strikes: 1 }, user: { allowed: true } },
      });
      expect(await both.check({ spy: "a", user: "b" })).toMatchObject({
        allowed: false,
        members: { spy: { refusedBy: "lock" }, user: { refusedBy: "limit", strikes: 1 } },
      });
      const reversed = allOf({ user, spy });
      await spy.reset();
      await spy.check("a");
      expect(await reversed.check({ user: "b", spy: "a" })).toMatchObject({
        members: { user: { refusedBy: "lock" }, spy: { refusedBy: "limit", strikes: 0 } },
      });
    });
  });

  describe("with a cache of denials", () => {
    const cached = (options: Options = {}, client = redis.client): AsyncRateLimiter =>
      limiterOf(options, store({ client, denyCache: { maxAge: "300ms" } }));

    it("answers for a locked key with the lock, and counts it down", async () => {
      const limiter = cached();
      await limiter.check("ada");
      const striking = await limiter.check("ada");
      expect(striking).toMatchObject({ refusedBy: "limit", source: "redis", strikes: 1 });
      await sleep(20);
      const { lockedForMs, ...later } = await limiter.check("ada");
      expect(later).toMatchObject({
        refusedBy: "lock",
        reason: "Locked",
        source: "deny-cache",
        strikes: 1,
        remaining: 0,
      });
      expect(later.retryAfterMs).toBe(lockedForMs);
      expect(striking.lockedForMs - lockedForMs).toBeGreaterThanOrEqual(18);
      expect(striking.lockedForMs - lockedForMs).toBeLessThan(300);
    });

    it.each(["isAllowed", "check"] as const)("sends `%s` if its refusal may be a strike", async (verb) => {
      const limiter = cached({ period: "1h" });
      const other = redis.client.duplicate();
      const elsewhere = cached({ period: "1h" }, other);
      await limiter.check("ada");
      await limiter.check("ada");
      await elsewhere.unlock("ada");
      // An acquire that gives up at once has no strike, and its denial is cached.
      await sleep(310);
      await limiter.acquire("ada", { timeout: "5s" }).catch(() => undefined);
      expect((await limiter.state("ada")).strikes).toBe(0);
      await limiter[verb]("ada");
      expect((await limiter.state("ada")).strikes).toBe(1);
      other.disconnect();
    });

    it("sees an unlock and a reset at once in this process, and within maxAge in another", async () => {
      const limiter = cached();
      const other = redis.client.duplicate();
      const elsewhere = cached({}, other);
      await limiter.lock("ada", "1h");
      for (const change of [() => limiter.unlock("ada"), () => limiter.reset("ada", { lockedUntil: undefined })]) {
        await limiter.lock("ada", "1h");
        expect(await limiter.isAllowed("ada")).toBe(false);
        await change();
        expect(await limiter.isAllowed("ada")).toBe(true);
        await limiter.reset("ada");
      }
      await limiter.lock("ada", "1h");
      expect(await limiter.isAllowed("ada")).toBe(false);
      await elsewhere.unlock("ada");
      expect(await limiter.isAllowed("ada")).toBe(false);
      await sleep(305);
      expect(await limiter.isAllowed("ada")).toBe(true);
      other.disconnect();
    });

    it("refuses an allOf by a cached lock only if no member before it may strike", async () => {
      const own = store({ denyCache: { maxAge: "10s" } });
      const [first, second] = ["first", "second"].map((name) => limiterOf({ name }, own));
      const both = allOf({ first: first!, second: second! });
      await first!.check("a");
      await second!.lock("b", "1h");
      await second!.check("b");
      expect(await both.check({ first: "a", second: "b" })).toMatchObject({
        members: { first: { refusedBy: "limit", strikes: 1 }, second: { refusedBy: "lock" } },
      });
      expect(await both.check({ first: "a", second: "b" })).toMatchObject({
        members: { first: { refusedBy: "lock", source: "deny-cache" }, second: { source: "deny-cache" } },
      });
    });
  });
});

describe("locks while Redis is unreachable", () => {
  const down = async (): Promise<never> => Promise.reject(new Error("gone"));
  const limiterOf = (options: Partial<RedisStoreOptions>): AsyncRateLimiter => {
    const store = new RedisStore({ client: down, onStoreError: () => undefined, ...options });
    return new AsyncRateLimiter({ maxCalls: 1, period: "1h", lockFor: ["2h", "4h"], store });
  };

  it("are those of the fallback, with the same policy", async () => {
    for (const whenDown of ["local", new MemoryStore()] as const) {
      const limiter = limiterOf({ whenDown });
      await limiter.check("ada");
      expect(await limiter.check("ada")).toMatchObject({ source: "fallback", refusedBy: "limit", strikes: 1 });
      expect(await limiter.check("ada")).toMatchObject({ source: "fallback", refusedBy: "lock", strikes: 1 });
    }
  });

  it("cannot be set or removed: the other processes would not know", async () => {
    const limiter = limiterOf({});
    await expect(limiter.lock("ada", "1h")).rejects.toMatchObject({ code: "STORE_ERROR" });
    await expect(limiter.unlock("ada")).rejects.toMatchObject({ code: "STORE_ERROR" });
  });
});

describe("a locked key under attack", () => {
  it.each(["isAllowed", "check"] as const)("costs one command a second of `%s`", async (verb) => {
    let sent = 0;
    const client = scriptStandIn((method) => {
      sent += 1;
      return method === "admit" ? "-3600000 3600000" : "0 1 1000 0 3 3600000 3600000 1 3600000 2";
    });
    const store = new RedisStore({ client, timeout: "30s" });
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1h", lockFor: "1h", store });
    await limiter[verb]("ada");
    const start = performance.now();
    let calls = 0;
    while (performance.now() - start < 2200) {
      for (let burst = 0; burst < 5; burst += 1, calls += 1) await limiter[verb]("ada");
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(calls).toBeGreaterThan(1000);
    expect(sent).toBeLessThanOrEqual(1 + Math.floor((performance.now() - start) / 1000));
  });
});
