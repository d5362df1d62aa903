import { describe, expect, it, vi } from "vitest";
import {
  AdaptiveRateLimiter,
  allOf,
  AsyncRateLimiter,
  type CallOptions,
  type Decision,
  type Duration,
  LayeredRateLimiter,
  MemoryStore,
  type RateLimiter,
  type RateLimitExceededError,
  TieredRateLimiter,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A limiter of 5 calls a minute, with its clock. */
function minute(options: { mode?: "shadow"; onDecision?: (decision: Decision) => void; bypass?: () => boolean } = {}) {
  const clock = new ManualClock();
  const limiter = new AsyncRateLimiter({ maxCalls: 5, period: "1m", clock, bypass: false, ...options });
  return { clock, limiter };
}

function layered() {
  return new LayeredRateLimiter({
    limits: [
      { name: "Burst", maxCalls: 2, period: "1s" },
      { name: "Daily", maxCalls: 5, period: "1d" },
    ],
    clock: new ManualClock(),
    bypass: false,
  });
}

describe("the maxCalls of a call", () => {
  it("leaves 1 where it is 6 and 5 are used, and changes no other call", async () => {
    const { limiter } = minute();
    await limiter.check("ada", { cost: 5 });
    expect(await limiter.peek("ada", { maxCalls: 6 })).toMatchObject({ allowed: true, remaining: 1 });
    expect(await limiter.isAllowed("ada")).toBe(false);
    expect(limiter.checkSync("ada", { maxCalls: 6 })).toMatchObject({ allowed: true, remaining: 0 });
    expect(await limiter.isAllowed("ada", { maxCalls: 6 })).toBe(false);
    expect((await limiter.acquire("ada", { maxCalls: 7 })).limit.maxCalls).toBe(7);
    expect(limiter.limits[0]?.maxCalls).toBe(5);
    expect(await limiter.state("ada")).toMatchObject({ calls: 7 });
  });

  it("leaves nothing where it is lower than what is used, and refuses until enough calls have expired", async () => {
    const { clock, limiter } = minute();
    for (let call = 0; call < 5; call += 1) {
      await limiter.check("ada");
      clock.advance("1s");
    }
    const refused = await limiter.check("ada", { maxCalls: 3 });
    expect(refused).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: 57_000 });
    expect(refused.layers).toMatchObject([{ used: 5, maxCalls: 3, remaining: 0 }]);
    clock.advance("56999ms");
    expect(await limiter.isAllowed("ada", { maxCalls: 3 })).toBe(false);
    clock.advance("1ms");
    expect(await limiter.isAllowed("ada", { maxCalls: 3 })).toBe(true);
  });

  it("refuses with an infinite wait where it is 0", async () => {
    const { limiter } = minute();
    expect(await limiter.check("ada", { maxCalls: 0 })).toMatchObject({ allowed: false, retryAfterMs: Infinity });
    expect(await limiter.isAllowed("ada")).toBe(true);
  });

  it("is the limit of the decision, of onDecision, and of a bypassed and a shadowed call", async () => {
    const seen: Decision[] = [];
    const { limiter } = minute({ mode: "shadow", onDecision: (decision) => seen.push(decision) });
    await limiter.check("ada", { maxCalls: 1 });
    const shadowed = await limiter.check("ada", { maxCalls: 1 });
    const limit = { maxCalls: 1, periodMs: 60_000 };
    expect(shadowed).toMatchObject({ allowed: true, shadowed: true, refusedBy: "limit", limit, layers: [limit] });
    expect(await limiter.isAllowed("ada", { maxCalls: 1 })).toBe(true);
    expect(seen.map((decision) => decision.limit.maxCalls)).toEqual([1, 1, 1]);
    expect(await limiter.state("ada")).toMatchObject({ calls: 1 });

    const bypassed = minute({ bypass: () => true }).limiter;
    expect(await bypassed.check("ada", { maxCalls: 9 })).toMatchObject({
      bypassed: true,
      remaining: 8,
      limit: { maxCalls: 9 },
    });
    expect(await bypassed.peek("ada", { maxCalls: 9 })).toMatchObject({ remaining: 9 });
    expect((await bypassed.acquire("ada", { maxCalls: 9 })).limit.maxCalls).toBe(9);
  });

  it("gives calls of one number the same limit, which lets a store send it once, and keeps at most 100 of them", async () => {
    const { limiter } = minute();
    const limitOf = async (maxCalls: number) => (await limiter.peek("ada", { maxCalls })).limit;
    const [six, seven] = [await limitOf(6), await limitOf(7)];
    limiter.setMaxCalls(9);
    expect([await limitOf(6), await limitOf(7)]).toEqual([six, seven]);
    expect(await limitOf(6)).toBe(six);
    for (let maxCalls = 100; maxCalls < 200; maxCalls += 1) await limitOf(maxCalls);
    expect(await limitOf(6)).not.toBe(six);
    expect(await limitOf(6)).toEqual(six);
  });

  it("does not matter for a refund, which removes what the call recorded", async () => {
    const { limiter } = minute();
    const decision = await limiter.check("ada", { cost: 7, maxCalls: 9 });
    expect(await limiter.isAllowed("ada")).toBe(false);
    expect(await limiter.refund(decision)).toBe(true);
    expect((await limiter.peek("ada")).remaining).toBe(5);
  });

  it("belongs to the limits with its names in a layered limiter, and leaves the others", async () => {
    const limiter = layered();
    const decision = await limiter.check("ada", { cost: 3, maxCalls: { Burst: 4, Daily: undefined } });
    expect(decision).toMatchObject({
      allowed: true,
      layers: [
        { maxCalls: 4, remaining: 1 },
        { maxCalls: 5, remaining: 2 },
      ],
    });
    const refused = await limiter.check("ada", { maxCalls: { Burst: 4, Daily: 3 } });
    expect(refused).toMatchObject({
      allowed: false,
      reason: "Daily rate limit exceeded",
      limit: { name: "Daily", maxCalls: 3 },
    });
  });

  it.each<[string, unknown, typeof TypeError | typeof RangeError, RegExp]>([
    ["a fraction", 2.5, RangeError, /Expected `maxCalls` to be a non-negative integer, got `2.5` \(number\)/],
    ["a negative number", -1, RangeError, /Expected `maxCalls`/],
    ["more than 2^24", 2 ** 24 + 1, RangeError, /at most 16777216/],
    ["a string", "5", TypeError, /Expected `maxCalls` to be a non-negative integer, got `5` \(string\)/],
    ["null", null, TypeError, /Expected `maxCalls`/],
    ["an object", { Burst: 5 }, TypeError, /Expected `maxCalls` to be a non-negative integer, got `\[object Object\]`/],
  ])("is an error in every method where it is %s", async (_, maxCalls, error, message) => {
    // Also for a call that is bypassed, so that a test with TESTING=1 finds it.
    for (const { limiter } of [minute(), minute({ bypass: () => true })]) {
      const options = { maxCalls } as CallOptions<number>;
      const calls = [
        limiter.isAllowed("ada", options),
        limiter.check("ada", options),
        limiter.peek("ada", options),
        limiter.acquire("ada", options),
        allOf({ limiter }).check({ limiter: "ada" }, { maxCalls: { limiter: maxCalls as number } }),
      ];
      for (const result of await Promise.allSettled(calls)) {
        const reason: unknown = (result as PromiseRejectedResult).reason;
        expect(reason).toBeInstanceOf(error);
        expect((reason as Error).message).toMatch(message);
      }
      expect(() => limiter.checkSync("ada", options)).toThrow(message);
      expect(() => limiter.setMaxCalls(maxCalls as number)).toThrow(message);
      expect(await limiter.state("ada")).toMatchObject({ calls: 0 });
      expect(limiter.limits[0]?.maxCalls).toBe(5);
    }
  });

  it.each<[string, unknown, RegExp]>([
    ["a number", 5, /Expected `maxCalls` to be an object with the options Burst, Daily, got `5` \(number\)/],
    ["of no limit", { Daly: 5 }, /Expected `Daly` to be one of the options Burst, Daily, got `5` \(number\)/],
    [
      "invalid",
      { Burst: 9, Daily: 1.5 },
      /Expected `maxCalls.Daily` to be a non-negative integer, got `1.5` \(number\)/,
    ],
  ])(
    "is an error that has the names of the limits where it is %s in a layered limiter",
    async (_, maxCalls, message) => {
      const limiter = layered();
      await expect(limiter.check("ada", { maxCalls } as never)).rejects.toThrow(message);
      expect(() => limiter.setMaxCalls(maxCalls as never)).toThrow(message);
      expect(limiter.limits.map((limit) => limit.maxCalls)).toEqual([2, 5]);
    },
  );
});

it("the type of maxCalls is a number for one limit, and an object for several", async () => {
  const { limiter } = minute();
  const several = layered();
  const both = allOf({ limiter, several });
  const keys = { limiter: "ada", several: "ada" };
  // @ts-expect-error -- one limit has no name
  await expect(limiter.check("ada", { maxCalls: { Burst: 5 } })).rejects.toThrow(TypeError);
  // @ts-expect-error -- which of the limits?
  await expect(several.check("ada", { maxCalls: 5 })).rejects.toThrow(TypeError);
  // @ts-expect-error -- which of the limits?
  expect(() => several.setMaxCalls(5)).toThrow(TypeError);
  // @ts-expect-error -- an object for the member with several limits
  await expect(both.check(keys, { maxCalls: { several: 5 } })).rejects.toThrow(TypeError);
  // @ts-expect-error -- no member has the name
  await expect(both.check(keys, { maxCalls: { other: 5 } })).rejects.toThrow(TypeError);
  // Options without a maxCalls suit every limiter, and a limiter of any limits may be either.
  const options: CallOptions = { cost: 1 };
  const any: readonly RateLimiter[] = [limiter, several];
  for (const one of any) expect((await one.check("ben", options)).allowed).toBe(true);
});

describe("setMaxCalls", () => {
  it("raises and lowers the limit of later calls, and keeps the log", async () => {
    const { clock, limiter } = minute();
    await limiter.check("ada", { cost: 5 });
    limiter.setMaxCalls(6);
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, remaining: 0, limit: { maxCalls: 6 } });
    limiter.setMaxCalls(1);
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: 60_000 });
    expect((await limiter.check("ada", { maxCalls: 7 })).allowed).toBe(true);
    clock.advance("1m");
    expect(limiter.limits).toMatchObject([{ maxCalls: 1, periodMs: 60_000 }]);
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("changes only the limits that are named", async () => {
    const limiter = layered();
    limiter.setMaxCalls({ Burst: 4 });
    limiter.setMaxCalls({ Daily: 3 });
    expect(limiter.limits).toMatchObject([{ maxCalls: 4 }, { maxCalls: 3 }]);
    expect((await limiter.check("ada", { cost: 4 })).limit.name).toBe("Daily");
  });

  it("changes only the tiers that are named, and none where one is invalid", async () => {
    const limits = { maxCalls: 1, period: "1m" } as const;
    const limiter = new TieredRateLimiter({ tiers: { free: limits, paid: limits }, bypass: false });
    limiter.setMaxCalls({ free: 2 });
    expect(() => limiter.setMaxCalls({ free: 9, paid: -1 })).toThrow(/Expected `maxCalls.paid`/);
    expect(() => limiter.setMaxCalls({ fee: 9 } as never)).toThrow(/one of the options free, paid/);
    expect([limiter.tier("free"), limiter.tier("paid")].map(({ limits: [limit] }) => limit?.maxCalls)).toEqual([2, 1]);
    expect((await limiter.check("ada", "paid", { maxCalls: 4 })).remaining).toBe(3);
  });

  it("sets the base of an adaptive limiter, which the load reduces", async () => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1m", bypass: false });
    limiter.adjustForLoad(1, 0);
    limiter.setMaxCalls(30);
    expect(limiter).toMatchObject({ baseMaxCalls: 30, maxCalls: 15 });
    await limiter.check("ada", { cost: 15 });
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "load", limit: { maxCalls: 15, reducedFrom: 30 } });
    limiter.adjustForLoad(0, 0);
    expect(limiter).toMatchObject({ baseMaxCalls: 30, maxCalls: 30 });
    limiter.setMaxCalls(0);
    expect(limiter).toMatchObject({ baseMaxCalls: 0, maxCalls: 0 });
  });
});

describe("an adaptive limiter", () => {
  it("reduces the maxCalls of a call by its factor, also where its own limit is too small to be reduced", async () => {
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 1, period: "1m", bypass: false });
    limiter.adjustForLoad(1, 0);
    const decision = await limiter.check("ada", { cost: 4, maxCalls: 8 });
    expect(decision).toMatchObject({ allowed: true, limit: { maxCalls: 4, reducedFrom: 8 } });
    expect(await limiter.check("ada", { maxCalls: 8 })).toMatchObject({ refusedBy: "load", reduced: true });
    expect(await limiter.check("ada", { maxCalls: 4 })).toMatchObject({ refusedBy: "limit", limit: { maxCalls: 2 } });
    expect(limiter).toMatchObject({ baseMaxCalls: 1, maxCalls: 1 });
  });

  it("reports to its load source which fraction of the call's own limit is used", async () => {
    const report = vi.fn();
    const load = { factor: 0.5, intervalMs: 100, listen: () => () => undefined, report };
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1m", load, bypass: false });
    await limiter.check("ada", { maxCalls: 4 });
    await limiter.check("ada");
    await limiter.check("ada", { maxCalls: 0 });
    expect(report.mock.calls).toEqual([[0.25], [0.2]]);
  });
});

describe("allOf", () => {
  it("decides each member by its own maxCalls, and the others by their limits", async () => {
    const ip = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: false });
    const tenant = layered();
    const both = allOf({ ip, tenant });
    const keys = { ip: "::1", tenant: "acme" };
    const { members } = await both.check(keys, { cost: 2, maxCalls: { ip: 3, tenant: { Burst: 4 } } });
    expect(members.ip).toMatchObject({ remaining: 1, limit: { maxCalls: 3 } });
    expect(members.tenant).toMatchObject({
      layers: [
        { maxCalls: 4, remaining: 2 },
        { maxCalls: 5, remaining: 3 },
      ],
    });
    const refused = await both.check(keys, { maxCalls: { tenant: { Daily: 2 } } });
    expect(refused).toMatchObject({ allowed: false, member: "tenant", members: { ip: { limit: { maxCalls: 1 } } } });
    await expect(both.check(keys, { maxCalls: { user: 1 } as never })).rejects.toThrow(/one of the options ip, tenant/);
    await expect(both.check(keys, { maxCalls: 5 as never })).rejects.toThrow(/an object with the options ip, tenant/);
    expect(await ip.state("::1")).toMatchObject({ calls: 2 });
  });
});

describe("acquire", () => {
  /** Moves the clock when all calls under way wait, and lets those continue that it wakes. */
  async function advance(clock: ManualClock, duration: Duration): Promise<void> {
    await settled();
    clock.advance(duration);
    await settled();
  }

  /** The names of the calls that have been admitted, and those that have been rejected. */
  function watched() {
    const admitted: string[] = [];
    const failed: string[] = [];
    const watch = (name: string, call: Promise<unknown>): void => {
      call.then(
        () => admitted.push(name),
        (error: unknown) => failed.push(`${name} ${String((error as RateLimitExceededError).waitFailedBy)}`),
      );
    };
    return { admitted, failed, watch };
  }

  it("resolves when a raised limit frees a slot", async () => {
    const { clock, limiter } = minute();
    const { admitted, watch } = watched();
    await limiter.check("ada", { cost: 5 });
    watch("first", limiter.acquire("ada"));
    watch("second", limiter.acquire("ada"));
    await advance(clock, "1s");
    limiter.setMaxCalls(6);
    await advance(clock, "1s");
    expect(admitted).toEqual(["first"]);
    await advance(clock, "58s");
    expect(admitted).toEqual(["first", "second"]);
  });

  it("waits for the call's own limit, in order: the first waiter of the key decides", async () => {
    const { clock, limiter } = minute();
    const { admitted, watch } = watched();
    for (let call = 0; call < 4; call += 1) {
      await limiter.check("ada");
      await advance(clock, "1s");
    }
    watch("at 2", limiter.acquire("ada", { maxCalls: 2 }));
    watch("at 100", limiter.acquire("ada", { maxCalls: 100 }));
    watch("at 5", limiter.acquire("ada"));
    await advance(clock, "57s");
    expect(admitted).toEqual([]);
    await advance(clock, "1s");
    expect(admitted).toEqual(["at 2", "at 100", "at 5"]);
  });

  it("rejects at once a call that its own limit can never admit, alone and behind another", async () => {
    const { clock, limiter } = minute();
    const { failed, watch } = watched();
    watch("alone", limiter.acquire("ada", { maxCalls: 0 }));
    await advance(clock, "1ms");
    await limiter.check("ada", { cost: 5 });
    watch("first", limiter.acquire("ada"));
    watch("none", limiter.acquire("ada", { maxCalls: 0 }));
    watch("too large", limiter.acquire("ada", { cost: 3, maxCalls: 2 }));
    watch("late", limiter.acquire("ada", { maxCalls: 1, timeout: "10s" }));
    await advance(clock, "1ms");
    expect(failed).toEqual(["alone cost", "none cost", "too large cost", "late timeout"]);
  });
});

describe("a full store", () => {
  it("spares a key that has reached the limit of its calls, before one of them is refused and after", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ maxKeys: 4, clock });
    const limiter = new AsyncRateLimiter({ maxCalls: 100, period: "1m", store, bypass: false });
    const flood = async (from: number): Promise<void> => {
      for (let key = from; key < from + 200; key += 1) await limiter.check(`flood ${key}`, { cost: 5 });
    };
    await limiter.check("ada", { maxCalls: 2 });
    await limiter.isAllowed("ada", { maxCalls: 2 });
    await flood(0);
    expect((await limiter.check("ada", { maxCalls: 2 })).allowed).toBe(false);
    await flood(200);
    expect((await limiter.check("ada", { maxCalls: 2 })).allowed).toBe(false);
    expect(store.evictions).toBeGreaterThan(300);
    clock.advance("1m");
    await flood(400);
    expect(await limiter.state("ada")).toMatchObject({ calls: 0 });
  });

  it("spares a key at the limit of the limiter, although another call has a higher limit", async () => {
    const store = new MemoryStore({ maxKeys: 4, clock: new ManualClock() });
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", store, bypass: false });
    await limiter.check("ada", { cost: 2 });
    for (let key = 0; key < 200; key += 1) await limiter.check(`flood ${key}`, { maxCalls: 1000 });
    expect(store.evictions).toBeGreaterThan(100);
    expect(await limiter.isAllowed("ada")).toBe(false);
  });
});
