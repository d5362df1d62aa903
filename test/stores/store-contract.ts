import { setTimeout as sleep } from "node:timers/promises";
import {
  AdaptiveRateLimiter,
  allOf,
  AsyncRateLimiter,
  type Decision,
  DOSProtectionLimiter,
  LayeredRateLimiter,
  type Source,
  type Store,
  TieredRateLimiter,
  USER_TIERS,
} from "sluicegate";
import { expect, it } from "vitest";

/** What a store is made by, for one test. */
export interface Maker {
  /** A store of its own, by whose clock a short time passes between two calls. */
  readonly store: () => Store;
  /** The source of its decisions. */
  readonly source: Source;
}

/** What every store must do, whatever it is made of: run in a `describe` of each. Time is the store's own, and real. */
export function itIsAStore({ store, source }: Maker): void {
  const hour = { maxCalls: 3, period: "1h" } as const;

  it("admits maxCalls, and refuses the next with the wait until it would pass", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    for (const remaining of [2, 1, 0]) {
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, reason: "Allowed", remaining, source });
    }
    const refused = await limiter.check("ada");
    expect(refused).toMatchObject({ allowed: false, reason: "Rate limit exceeded", remaining: 0, source });
    expect(refused.limit).toBe(limiter.limits[0]);
    for (const ms of [refused.retryAfterMs, refused.resetAfterMs, refused.layers[0]!.moreAfterMs]) {
      expect(Number.isInteger(ms) && ms > 3_599_000 && ms <= 3_600_001).toBe(true);
    }
    expect(await limiter.isAllowed("ben")).toBe(true);
    expect(await limiter.isAllowed("ada")).toBe(false);
  });

  it("lets a call pass when its wait is over, and not before", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "500ms", store: store() });
    await limiter.check("ada");
    await sleep(200);
    await limiter.check("ada");
    const { allowed, retryAfterMs } = await limiter.check("ada");
    expect(allowed).toBe(false);
    expect(retryAfterMs).toBeLessThanOrEqual(301);
    await sleep(retryAfterMs + 2);
    expect((await limiter.check("ada")).allowed).toBe(true);
    expect((await limiter.check("ada")).allowed).toBe(false);
  });

  it("counts by cost, distinguishes never from later, and records nothing for a peek", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    expect(await limiter.peek("ada", { cost: 3 })).toMatchObject({ allowed: true, remaining: 3, resetAfterMs: 0 });
    expect(await limiter.check("ada", { cost: 2 })).toMatchObject({ allowed: true, remaining: 1 });
    expect(await limiter.check("ada", { cost: 2 })).toMatchObject({ allowed: false, remaining: 1 });
    expect(await limiter.check("ada", { cost: 4 })).toMatchObject({ allowed: false, retryAfterMs: Infinity });
    expect(await limiter.peek("ada")).toMatchObject({ allowed: true, remaining: 1 });
    expect((await limiter.state("ada")).calls).toBe(2);
    expect(await limiter.state("unused")).toMatchObject({ calls: 0 });
  });

  it("refunds exactly what a call recorded, once, and nothing of a later log", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    const first = await limiter.check("ada", { cost: 2 });
    const second = await limiter.check("ada");
    expect(await limiter.refund(first)).toBe(true);
    expect((await limiter.peek("ada")).remaining).toBe(2);
    expect(await limiter.refund(first)).toBe(false);
    expect((await limiter.peek("ada")).remaining).toBe(2);
    await limiter.reset("ada");
    await limiter.check("ada");
    expect(await limiter.refund(second)).toBe(false);
    expect((await limiter.peek("ada")).remaining).toBe(2);
    const { allowed } = await limiter.check("ada", { cost: 3 });
    expect(allowed).toBe(false);
  });

  it("refunds a call that at most 4,096 timestamps are newer than, and leaves an older one counted", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 10_000, period: "1h", store: store() });
    const both = allOf({ one: limiter });
    const oldest = await both.check({ one: "ada" });
    await sleep(3);
    const second = await limiter.check("ada");
    await sleep(3);
    await limiter.check("ada", { cost: 4095 });
    await sleep(3);
    await limiter.check("ada");
    expect(await limiter.refund(second)).toBe(true);
    expect(await limiter.state("ada")).toMatchObject({ calls: 4097 });
    const latest = await limiter.check("ada");
    expect(await both.refund(oldest)).toBe(false);
    expect(await limiter.state("ada")).toMatchObject({ calls: 4098 });
    // One refund is one attempt: the call stays counted, however shallow it lies later.
    expect(await limiter.refund(latest)).toBe(true);
    expect(await both.refund(oldest)).toBe(false);
    expect(await limiter.state("ada")).toMatchObject({ calls: 4097 });
  });

  it("checks all layers of one log, and records in all or in none", async () => {
    const limiter = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 2, period: "1s" },
        { name: "Daily", maxCalls: 3, period: "30d" },
      ],
      store: store(),
    });
    expect((await limiter.check("ada", { cost: 2 })).layers.map(({ remaining }) => remaining)).toEqual([0, 1]);
    const burst = await limiter.check("ada");
    expect(burst).toMatchObject({ allowed: false, reason: "Burst rate limit exceeded", limit: { name: "Burst" } });
    expect(burst.layers.map(({ remaining }) => remaining)).toEqual([0, 1]);
    expect(await limiter.check("ada", { cost: 3 })).toMatchObject({ retryAfterMs: Infinity });
    const daily = await limiter.check("ada", { cost: 2 });
    expect(daily).toMatchObject({ allowed: false, reason: "Daily rate limit exceeded" });
    expect(daily.retryAfterMs).toBeGreaterThan(2_591_990_000);
  });

  it("reports what is used in each window, also above a limit that was lowered", async () => {
    const layered = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 4, period: "200ms" },
        { name: "Daily", maxCalls: 9, period: "1d" },
      ],
      store: store(),
    });
    const used = ({ layers }: Decision): number[] => layers.map((layer) => layer.used);
    expect(used(await layered.peek("ada"))).toEqual([0, 0]);
    expect(used(await layered.check("ada", { cost: 3 }))).toEqual([3, 3]);
    expect(used(await layered.check("ada", { cost: 3 }))).toEqual([3, 3]);
    await sleep(250);
    expect(used(await layered.check("ada", { cost: 2 }))).toEqual([2, 5]);

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1h", store: store() });
    await adaptive.check("ada", { cost: 8 });
    adaptive.adjustForLoad(1, 1);
    expect((await adaptive.check("ada")).layers).toMatchObject([{ maxCalls: 5, used: 8, remaining: 0 }]);
    expect((await adaptive.peek("ada", { cost: 3 })).layers).toMatchObject([{ used: 8, remaining: 0 }]);
  });

  it("decides a call at its own maxCalls by the same log, and keeps what a higher one needs", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    await limiter.check("ada", { cost: 2 });
    expect(await limiter.check("ada", { maxCalls: 1 })).toMatchObject({
      allowed: false,
      remaining: 0,
      refusedBy: "limit",
    });
    expect(await limiter.isAllowed("ada", { maxCalls: 2 })).toBe(false);
    // Deeper than what a store may read at once.
    expect(await limiter.check("ada", { cost: 400, maxCalls: 500 })).toMatchObject({ allowed: true, remaining: 98 });
    const refused = await limiter.check("ada");
    expect(refused).toMatchObject({ allowed: false, remaining: 0, limit: { maxCalls: 3 }, layers: [{ used: 402 }] });
    expect(await limiter.check("ada", { maxCalls: 0 })).toMatchObject({ allowed: false, retryAfterMs: Infinity });
    expect(await limiter.check("ada", { maxCalls: 403 })).toMatchObject({
      allowed: true,
      remaining: 0,
      layers: [{ used: 403 }],
    });
    expect(await limiter.peek("ada", { maxCalls: 500 })).toMatchObject({ allowed: true, remaining: 97, source });
    const both = allOf({ limiter });
    expect(await both.isAllowed({ limiter: "ada" }, { maxCalls: { limiter: 403 } })).toBe(false);
    const last = await both.check({ limiter: "ada" }, { maxCalls: { limiter: 404 } });
    expect(last).toMatchObject({
      allowed: true,
      members: { limiter: { limit: { maxCalls: 404 }, layers: [{ used: 404 }] } },
    });
    expect(await limiter.refund(await limiter.check("ada", { maxCalls: 405 }))).toBe(true);
    expect(await limiter.state("ada")).toMatchObject({ calls: 404 });
  });

  it("waits exactly where a call has a lower maxCalls than what is used", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 9, period: "600ms", store: store() });
    for (const cost of [1, 2]) {
      await limiter.check("ada", { cost });
      await sleep(150);
    }
    const { retryAfterMs } = await limiter.check("ada", { maxCalls: 3 });
    expect(retryAfterMs).toBeLessThanOrEqual(301);
    await sleep(retryAfterMs + 2);
    expect(await limiter.check("ada", { maxCalls: 3 })).toMatchObject({ allowed: true, remaining: 0 });
    expect((await limiter.check("ada", { maxCalls: 3 })).allowed).toBe(false);
    expect(await limiter.acquire("ada", { maxCalls: 4 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("decides by a limit that was set, at once and for waiters", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    await limiter.check("ada", { cost: 3 });
    const waiting = limiter.acquire("ada");
    await sleep(20);
    limiter.setMaxCalls(4);
    expect(await waiting).toMatchObject({ allowed: true, remaining: 0, limit: { maxCalls: 4 } });
    limiter.setMaxCalls(1);
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, layers: [{ used: 4, remaining: 0 }] });
    limiter.setMaxCalls(5);
    expect(await limiter.isAllowed("ada")).toBe(true);
  });

  it("names the cause of a refusal", async () => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "1h", store: store() });
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, refusedBy: null });
    limiter.adjustForLoad(1, 1);
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, refusedBy: "load", reduced: true });
    limiter.adjustForLoad(0, 0);
    await limiter.check("ada");
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, refusedBy: "limit", reduced: false });
  });

  it("serves every variant: DOS, tiered, adaptive and shadow", async () => {
    const dos = new DOSProtectionLimiter({ store: store() });
    for (let calls = 0; calls < 10; calls += 1) expect(await dos.isAllowed("ada")).toBe(true);
    expect((await dos.check("ada")).reason).toBe("Burst rate limit exceeded");

    const tiered = new TieredRateLimiter({ tiers: USER_TIERS, store: store() });
    await tiered.check("ada", "free");
    expect((await tiered.peek("ada", "free")).remaining).toBe(99);
    expect((await tiered.peek("ada", "premium")).remaining).toBe(1000);
    await tiered.reset("ada");
    expect((await tiered.peek("ada", "free")).remaining).toBe(100);

    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1h", store: store() });
    await adaptive.check("ada", { cost: 4 });
    adaptive.adjustForLoad(1, 1);
    const { maxCalls } = adaptive;
    expect(await adaptive.check("ada", { cost: Math.max(1, maxCalls - 3) })).toMatchObject({
      allowed: false,
      reduced: true,
    });
    adaptive.adjustForLoad(0, 0);
    expect(await adaptive.check("ada", { cost: 6 })).toMatchObject({ allowed: true, remaining: 0 });
    expect(await adaptive.check("ada")).toMatchObject({ allowed: false, reduced: false });

    const shadow = new AsyncRateLimiter({ ...hour, mode: "shadow", store: store() });
    for (let calls = 0; calls < 5; calls += 1) await shadow.isAllowed("ada");
    expect(await shadow.check("ada")).toMatchObject({ allowed: true, shadowed: true, remaining: 0 });
    expect((await shadow.state("ada")).calls).toBe(3);
  });

  it("keeps spaces apart, and forgets one key or all of one space, whatever their names", async () => {
    const shared = store();
    const names = ["default", "user", "user*", "u[s]er", "us?r", "\\user"];
    const limiters = names.map((name) => new AsyncRateLimiter({ ...hour, name, store: shared }));
    for (const limiter of limiters) {
      await limiter.check("ada");
      await limiter.check("ben");
    }
    const counts = async (key: string): Promise<number[]> =>
      Promise.all(limiters.map(async (limiter) => (await limiter.state(key)).calls));
    await limiters[2]!.reset();
    expect(await counts("ada")).toEqual([1, 1, 0, 1, 1, 1]);
    await limiters[4]!.reset();
    await limiters[5]!.reset();
    expect(await counts("ben")).toEqual([1, 1, 0, 1, 0, 0]);
    await limiters[1]!.reset("ada");
    expect([await counts("ada"), await counts("ben")]).toEqual([
      [1, 0, 0, 1, 0, 0],
      [1, 1, 0, 1, 0, 0],
    ]);
    expect(() => new AsyncRateLimiter({ ...hour, name: "user", store: shared })).toThrow(RangeError);
  });

  it("releases the name of a space that is closed, whose later calls and waiters reject", async () => {
    const shared = store();
    const closed = new AsyncRateLimiter({ ...hour, name: "closed", store: shared });
    await closed.check("ada", { cost: 3 });
    const waiting = closed.acquire("ada", { timeout: "2h" });
    closed.close();
    closed.close();
    await expect(waiting).rejects.toMatchObject({ code: "LIMITER_CLOSED" });
    await expect(closed.check("ben")).rejects.toMatchObject({ code: "LIMITER_CLOSED" });
    const next = new AsyncRateLimiter({ maxCalls: 1, period: "1d", name: "closed", store: shared });
    expect(await next.isAllowed("ben")).toBe(true);
    expect(await next.isAllowed("ben")).toBe(false);
  });

  it("forgets a thousand keys at once", async () => {
    const limiter = new AsyncRateLimiter({ ...hour, store: store() });
    const keys = Array.from({ length: 1000 }, (_, at) => `key-${at}`);
    await Promise.all(keys.map((key) => limiter.check(key)));
    await limiter.reset();
    const states = await Promise.all(keys.map((key) => limiter.state(key)));
    expect(states.reduce((sum, { calls }) => sum + calls, 0)).toBe(0);
  });

  it("takes every string for a key like any other", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: store() });
    const keys = [
      "",
      " ",
      "*",
      "a*",
      "{a}",
      "__proto__",
      "a:b",
      "\0",
      "\r\n",
      "ключ",
      "🔑",
      "\ud800",
      "\ud801",
      "\ufffd",
      '\0utf-16:"\\ud800"',
      "k".repeat(1024),
      "🔑".repeat(512),
      "\ud800".repeat(1024),
    ];
    for (const key of keys) expect([key, await limiter.isAllowed(key)]).toEqual([key, true]);
    for (const key of keys) expect([key, await limiter.isAllowed(key)]).toEqual([key, false]);
    await limiter.reset("a*");
    expect(await limiter.isAllowed("a:b")).toBe(false);
  });

  it("refuses a key of more than 1,024 characters with a RangeError that does not show it", async () => {
    const shared = store();
    const limiter = new AsyncRateLimiter({ ...hour, name: "long", store: shared });
    const tiered = new TieredRateLimiter({ tiers: USER_TIERS, store: shared });
    const both = allOf({ limiter, other: new AsyncRateLimiter({ ...hour, name: "other", store: shared }) });
    const long = `secret-${"k".repeat(1018)}`;
    const calls = [
      limiter.isAllowed(long),
      limiter.check(long),
      limiter.peek(long),
      limiter.acquire(long),
      limiter.state(long),
      limiter.reset(long),
      tiered.check(long, "free"),
      tiered.reset(long),
      both.check({ limiter: "ada", other: long }),
      both.reset({ limiter: "ada", other: long }),
    ];
    for (const call of calls) {
      const error: unknown = await call.catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(RangeError);
      expect((error as Error).message).toMatch(
        /^Expected `(key|keys\.other)` .* 1,024 .*got `1025 characters` \(string\)$/,
      );
    }
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("admits exactly maxCalls of many calls at once", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 57, period: "1h", store: store() });
    const admitted = await Promise.all(Array.from({ length: 500 }, () => limiter.isAllowed("ada")));
    expect(admitted.filter(Boolean)).toHaveLength(57);
  });

  it("admits waiters in their order as calls are refunded", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store: store() });
    const held = await limiter.check("ada");
    const order: string[] = [];
    const waiting = ["first", "second"].map(async (who) => {
      const decision = await limiter.acquire("ada", { timeout: "2h" });
      order.push(who);
      await limiter.refund(decision);
    });
    await limiter.refund(held);
    await Promise.all(waiting);
    expect(order).toEqual(["first", "second"]);
    await limiter.check("ada");
    await expect(limiter.acquire("ada", { timeout: "5s" })).rejects.toMatchObject({ code: "RATE_LIMIT_EXCEEDED" });
  });

  it("counts a call of several keys in all of them or in none", async () => {
    const shared = store();
    const ip = new AsyncRateLimiter({ maxCalls: 5, period: "1h", name: "ip", store: shared });
    const user = new AsyncRateLimiter({ maxCalls: 1, period: "1h", name: "user", store: shared });
    const both = allOf({ ip, user });
    expect((await both.check({ ip: "10.0.0.1", user: "ada" })).allowed).toBe(true);
    expect(await both.check({ ip: "10.0.0.1", user: "ada" })).toMatchObject({
      allowed: false,
      member: "user",
      refusedBy: "limit",
      members: { user: { refusedBy: "limit" } },
    });
    expect((await ip.peek("10.0.0.1")).remaining).toBe(4);
    const decision = await both.check({ ip: "10.0.0.1", user: null });
    expect(await both.refund(decision)).toBe(true);
    expect((await ip.peek("10.0.0.1")).remaining).toBe(4);
  });
}
