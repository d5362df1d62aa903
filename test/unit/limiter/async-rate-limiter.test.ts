import { afterEach, beforeEach, describe, expect, expectTypeOf, it, vi } from "vitest";
import { AsyncRateLimiter, type Decision, MemoryStore, RATE_LIMITS, type Store } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { AnyLimiter } from "../../support/model-run.js";
import { coded } from "../../support/coded.js";
import { asyncStore } from "../../support/async-store.js";

let clock: ManualClock;
let limiter: AsyncRateLimiter;

beforeEach(() => {
  clock = new ManualClock(1_000_000);
  limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1m", clock });
});

describe("the origin's four tests", () => {
  it("allows 3 calls and refuses the fourth", async () => {
    const answers = [];
    for (let call = 0; call < 4; call += 1) answers.push(await limiter.isAllowed("test_user"));
    expect(answers).toEqual([true, true, true, false]);
  });

  it("counts different keys separately", async () => {
    for (let call = 0; call < 3; call += 1) await limiter.isAllowed("user1");
    expect(await limiter.isAllowed("user2")).toBe(true);
  });

  it("allows again after a reset", async () => {
    for (let call = 0; call < 3; call += 1) await limiter.isAllowed("test_user");
    expect(await limiter.isAllowed("test_user")).toBe(false);
    await limiter.reset("test_user");
    expect(await limiter.isAllowed("test_user")).toBe(true);
  });

  it("admits exactly 3 of 10 concurrent calls", async () => {
    const answers = await Promise.all(Array.from({ length: 10 }, () => limiter.isAllowed("concurrent_user")));
    expect(answers.filter(Boolean)).toHaveLength(3);
  });
});

describe("on the real clock", () => {
  it("2 per 0.5 s are two at once, and the third when half a second has passed", async () => {
    const real = new AsyncRateLimiter({ maxCalls: 2, period: 0.5 });
    expect([await real.isAllowed("ada"), await real.isAllowed("ada"), await real.isAllowed("ada")]).toEqual([
      true,
      true,
      false,
    ]);
    const { retryAfterMs } = await real.peek("ada");
    expect(retryAfterMs).toBeGreaterThan(0);
    expect(retryAfterMs).toBeLessThanOrEqual(501);
    // A timer of Node's may fire up to a millisecond before its time.
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs + 1));
    expect(await real.isAllowed("ada")).toBe(true);
  });
});

describe("a decision", () => {
  it("of a refusal is the documented example, field by field", async () => {
    for (const at of [0, 30_000, 40_000]) {
      clock.set(1_000_000 + at);
      await limiter.check("ada");
    }
    clock.set(1_050_000);
    const decision = await limiter.check("ada");
    expect({ ...decision }).toEqual({
      allowed: false,
      reason: "Rate limit exceeded",
      refusedBy: "limit",
      limit: { maxCalls: 3, periodMs: 60_000 },
      remaining: 0,
      retryAfterMs: 10_000,
      resetAfterMs: 50_000,
      lockedForMs: 0,
      strikes: 0,
      reduced: false,
      layers: [
        {
          maxCalls: 3,
          periodMs: 60_000,
          used: 3,
          remaining: 0,
          retryAfterMs: 10_000,
          moreAfterMs: 10_000,
          resetAfterMs: 50_000,
        },
      ],
      bypassed: false,
      shadowed: false,
      source: "memory",
    });
    expect(decision.limit).toBe(limiter.limits[0]);
  });

  it("has the cost that remains after the call", async () => {
    expect(await limiter.check("ada", { cost: 2 })).toMatchObject({
      allowed: true,
      remaining: 1,
      resetAfterMs: 60_000,
    });
    expect(await limiter.check("ada", { cost: 2 })).toMatchObject({
      allowed: false,
      remaining: 1,
      retryAfterMs: 60_000,
    });
    expect(await limiter.check("ada", { cost: 1 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("has the wait for a higher remaining cost, which does not depend on the cost of the call", async () => {
    const [fresh] = (await limiter.peek("ada")).layers;
    expect(fresh).toMatchObject({ remaining: 3, moreAfterMs: Infinity });
    await limiter.check("ada");
    clock.advance("10s");
    const [spent] = (await limiter.check("ada")).layers;
    expect(spent).toMatchObject({ remaining: 1, retryAfterMs: 0, moreAfterMs: 50_000 });
    const [refused] = (await limiter.check("ada", { cost: 3 })).layers;
    expect(refused).toMatchObject({ remaining: 1, retryAfterMs: 60_000, moreAfterMs: 50_000 });
  });

  it("has an infinite wait for a cost above maxCalls", async () => {
    expect(await limiter.check("ada", { cost: 4 })).toMatchObject({ allowed: false, retryAfterMs: Infinity });
    const shut = new AsyncRateLimiter({ maxCalls: 0, period: "1m" });
    expect(await shut.check("ada")).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: Infinity });
  });

  it("names the limit that binds: of a refusal the one with the longest wait, else the one with least left", async () => {
    const layered = new AnyLimiter(
      [
        { name: "Hourly", maxCalls: 4, periodMs: 3_600_000 },
        { name: "Burst", maxCalls: 2, periodMs: 1000 },
        { name: "Twin", maxCalls: 2, periodMs: 1000 },
      ],
      { clock },
    );
    expect((await layered.check("ada")).limit.name).toBe("Burst");
    await layered.check("ada");
    expect((await layered.check("ada")).reason).toBe("Burst rate limit exceeded");
    clock.advance("1s");
    expect((await layered.check("ada")).limit.name).toBe("Hourly");
    await layered.check("ada");
    expect(await layered.check("ada")).toMatchObject({
      reason: "Hourly rate limit exceeded",
      retryAfterMs: 3_599_000,
      layers: [{ retryAfterMs: 3_599_000 }, { retryAfterMs: 1000 }, { retryAfterMs: 1000 }],
    });
  });

  it("can be printed and serialised, and does not show its receipt", async () => {
    const decision = await limiter.check("ada@example.org");
    expect(JSON.stringify(decision)).not.toContain("ada@example.org");
    expect(Object.keys(decision)).toEqual([
      "allowed",
      "reason",
      "refusedBy",
      "limit",
      "remaining",
      "retryAfterMs",
      "resetAfterMs",
      "lockedForMs",
      "strikes",
      "reduced",
      "layers",
      "bypassed",
      "shadowed",
      "source",
    ]);
  });
});

describe("a refund", () => {
  it("removes exactly what the decision recorded, once", async () => {
    const first = await limiter.check("ada", { cost: 2 });
    await limiter.check("ada");
    expect(await limiter.refund(first)).toBe(true);
    expect((await limiter.state("ada")).calls).toBe(1);
    expect(await limiter.refund(first)).toBe(false);
    expect((await limiter.state("ada")).calls).toBe(1);
  });

  it("is false if nothing was recorded: for a refused, shadowed or bypassed call, and for a peek", async () => {
    await limiter.check("ada", { cost: 3 });
    const shadow = new AsyncRateLimiter({ maxCalls: 0, period: "1m", mode: "shadow" });
    const open = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: () => true });
    for (const decision of [
      await limiter.check("ada"),
      await limiter.peek("grace"),
      await shadow.check("ada"),
      await open.check("ada"),
    ]) {
      expect(await limiter.refund(decision)).toBe(false);
    }
    expect((await limiter.state("ada")).calls).toBe(3);
  });

  it("is false when the call has expired", async () => {
    const decision = await limiter.check("ada");
    clock.advance("1m");
    expect(await limiter.refund(decision)).toBe(false);
  });

  it("removes no newer call of a key that was reset, or evicted and added again", async () => {
    const decision = await limiter.check("ada");
    await limiter.reset("ada");
    await limiter.check("ada");
    expect(await limiter.refund(decision)).toBe(false);
    expect((await limiter.state("ada")).calls).toBe(1);

    const tiny = new AsyncRateLimiter({ maxCalls: 3, period: "1m", store: new MemoryStore({ maxKeys: 1 }) });
    const evicted = await tiny.check("ada");
    await tiny.check("grace");
    await tiny.check("ada");
    expect(await tiny.refund(evicted)).toBe(false);
    expect((await tiny.state("ada")).calls).toBe(1);
  });

  it("finds its log after it has grown", async () => {
    const decision = await limiter.check("ada");
    await limiter.check("ada");
    await limiter.check("ada");
    expect(await limiter.refund(decision)).toBe(true);
    expect((await limiter.state("ada")).calls).toBe(2);
  });

  it("of a copy of a decision is a TypeError", async () => {
    const decision = await limiter.check("ada");
    for (const other of [
      { ...decision },
      structuredClone(decision),
      limiter.check("ada"),
      null,
      undefined,
      1,
      "decision",
      () => decision,
    ]) {
      await expect(limiter.refund(other as Decision)).rejects.toThrow(
        /^Expected `decision` to be a decision that a limiter returned, and neither a copy nor a promise of one, got /,
      );
    }
    expect(await limiter.refund(decision)).toBe(true);
  });

  it("rejects if the clock throws, and can be repeated", async () => {
    let reading = 0;
    const broken = new AsyncRateLimiter({ maxCalls: 3, period: "1m", clock: { now: () => reading } });
    const decision = await broken.check("ada");
    reading = NaN;
    await expect(broken.refund(decision)).rejects.toMatchObject({ code: "STORE_ERROR" });
    reading = 0;
    expect((await broken.state("ada")).calls).toBe(1);
    expect(await broken.refund(decision)).toBe(true);
  });
});

describe("shadow mode", () => {
  it("allows every call, returns the refusals of the mode enforce, and records only calls that every limit allows", async () => {
    const shadow = new AsyncRateLimiter({ maxCalls: 1, period: "1m", mode: "shadow", clock });
    expect(await shadow.check("ada")).toMatchObject({ allowed: true, shadowed: false });
    expect(await shadow.check("ada")).toMatchObject({
      allowed: true,
      shadowed: true,
      reason: "Rate limit exceeded",
      refusedBy: "limit",
      remaining: 0,
      retryAfterMs: 60_000,
    });
    expect(await shadow.isAllowed("ada")).toBe(true);
    expect(shadow.checkSync("ada").shadowed).toBe(true);
    expect((await shadow.peek("ada")).shadowed).toBe(true);
    expect((await shadow.state("ada")).calls).toBe(1);
  });
});

describe("onDecision", () => {
  afterEach(() => {
    process.removeAllListeners("warning");
  });

  it("is called once for each method that decides, before its caller continues, with the key, and never for peek", async () => {
    const heard: [string, Decision][] = [];
    const told = new AsyncRateLimiter({
      maxCalls: 2,
      period: "1m",
      onDecision: (decision, key) => heard.push([key, decision]),
    });
    const checked = await told.check("check");
    const sync = told.checkSync("checkSync");
    await told.isAllowed("isAllowed");
    await told.peek("peek");
    await told.refund(checked);
    await told.reset();
    expect(heard.map(([key]) => key)).toEqual(["check", "checkSync", "isAllowed"]);
    expect(heard[0]?.[1]).toBe(checked);
    expect(heard[1]?.[1]).toBe(sync);
  });

  it("is called for refused, shadowed and bypassed calls as well", async () => {
    const heard: Decision[] = [];
    const onDecision = (decision: Decision) => heard.push(decision);
    await new AsyncRateLimiter({ maxCalls: 0, period: 1, onDecision }).isAllowed("ada");
    await new AsyncRateLimiter({ maxCalls: 0, period: 1, onDecision, mode: "shadow" }).isAllowed("ada");
    await new AsyncRateLimiter({ maxCalls: 0, period: 1, onDecision, bypass: () => true }).isAllowed("ada");
    expect(heard).toMatchObject([{ allowed: false }, { shadowed: true }, { bypassed: true }]);
  });

  it.each([
    [
      "throws",
      () => {
        throw new Error("metrics down");
      },
    ],
    ["rejects", () => Promise.reject(new Error("metrics down"))],
    [
      "throws what cannot be shown",
      () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what anybody may throw
        throw Object.assign(Object.create(null) as object, { reason: "metrics down" });
      },
    ],
  ])("that %s becomes a process warning, and the decision stands", async (_, onDecision) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const told = new AsyncRateLimiter({ maxCalls: 1, period: "1m", onDecision });
    expect(await told.isAllowed("ada")).toBe(true);
    expect(await told.isAllowed("ada")).toBe(false);
    expect(told.checkSync("grace").allowed).toBe(true);
    await new Promise((resolve) => setImmediate(resolve));
    expect(warned).toHaveBeenCalledTimes(3);
    expect(warned).toHaveBeenCalledWith("onDecision failed; the decision stands", {
      type: "SluicegateWarning",
      code: "SLUICEGATE_CALLBACK_FAILED",
      detail: expect.stringMatching(/^Error: metrics down\n +at|^object$/) as string,
    });
  });
});

describe("reset", () => {
  it("without a key forgets every key", async () => {
    for (const key of ["ada", "grace"]) await limiter.check(key, { cost: 3 });
    await limiter.reset();
    expect([await limiter.isAllowed("ada"), await limiter.isAllowed("grace")]).toEqual([true, true]);
  });

  it("of the key undefined is a TypeError, and forgets no key", async () => {
    await limiter.check("ada", { cost: 3 });
    const lost = undefined as unknown as string;
    await expect(limiter.reset(lost)).rejects.toThrow(
      coded(new TypeError("Expected `key` to be a string, got `undefined` (undefined)")),
    );
    expect(await limiter.isAllowed("ada")).toBe(false);
  });
});

describe("state", () => {
  it("has the unexpired calls in the longest window, and the start of that window on the clock of the store", async () => {
    const unlocked = { lockedForMs: 0, strikes: 0, lockedUntil: null };
    await limiter.check("ada", { cost: 2 });
    clock.advance("30s");
    await limiter.check("ada");
    expect(await limiter.state("ada")).toEqual({ ...unlocked, calls: 3, lastReset: 970_000 });
    clock.advance("30s");
    expect(await limiter.state("ada")).toEqual({ ...unlocked, calls: 1, lastReset: 1_000_000 });
    expect(await limiter.state("nobody")).toEqual({ ...unlocked, calls: 0, lastReset: 1_000_000 });
  });
});

describe("checkSync", () => {
  it("decides as check does, without a promise", () => {
    const answers = Array.from({ length: 4 }, () => limiter.checkSync("ada").allowed);
    expect(answers).toEqual([true, true, true, false]);
  });

  it("throws a TypeError with an asynchronous store, and does not call the store", () => {
    let reads = 0;
    const remote: Store = { synchronous: false, open: () => new Proxy({} as never, { get: () => (reads += 1) }) };
    const fleet = new AsyncRateLimiter({ maxCalls: 3, period: "1m", store: remote });
    expect(() => fleet.checkSync("ada")).toThrow(TypeError);
    expect(reads).toBe(0);
  });
});

describe("an asynchronous store", () => {
  const late = (): Store =>
    asyncStore({
      later: async (decide) => {
        await new Promise((resolve) => setImmediate(resolve));
        return decide();
      },
    });

  it("is awaited by every method", async () => {
    const heard: Decision[] = [];
    const fleet = new AsyncRateLimiter({ maxCalls: 1, period: "1m", store: late() });
    const told = new AsyncRateLimiter({ maxCalls: 1, period: "1m", store: late(), onDecision: (d) => heard.push(d) });
    const decision = await fleet.check("ada");
    expect(decision.allowed).toBe(true);
    expect(await fleet.isAllowed("ada")).toBe(false);
    expect((await fleet.peek("ada")).allowed).toBe(false);
    expect((await fleet.state("ada")).calls).toBe(1);
    expect(await fleet.refund(decision)).toBe(true);
    expect(await fleet.isAllowed("ada")).toBe(true);
    await fleet.reset("ada");
    expect(await fleet.isAllowed("ada")).toBe(true);
    expect(await told.isAllowed("ada")).toBe(true);
    expect(heard).toHaveLength(1);
  });
});

describe("fake timers", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("installed after the first call, and uninstalled again, stop no limit and lift no limit", async () => {
    const real = new AsyncRateLimiter({ maxCalls: 2, period: "1m" });
    await real.isAllowed("ada");
    vi.useFakeTimers({ now: 0 });
    expect(await real.isAllowed("ada")).toBe(true);
    expect(await real.isAllowed("ada")).toBe(false);
    vi.advanceTimersByTime(59_999);
    expect(await real.isAllowed("ada")).toBe(false);
    vi.advanceTimersByTime(2);
    expect(await real.isAllowed("ada")).toBe(true);
    vi.useRealTimers();
    expect(await real.isAllowed("ada")).toBe(true);
    expect(await real.isAllowed("ada")).toBe(false);
  });
});

describe("constructing a limiter", () => {
  it("reads no clock and starts no timer", () => {
    const now = vi.fn(() => 0);
    const timers = [vi.spyOn(globalThis, "setTimeout"), vi.spyOn(globalThis, "setInterval")];
    const read = vi.spyOn(performance, "now");
    new AsyncRateLimiter({ maxCalls: 1, period: 1, clock: { now } });
    new AsyncRateLimiter({ maxCalls: 1, period: 1 });
    for (const spy of [now, read, ...timers]) expect(spy).not.toHaveBeenCalled();
  });

  it("takes the presets as they are", async () => {
    for (const preset of Object.values(RATE_LIMITS)) {
      const [limit] = new AsyncRateLimiter(preset).limits;
      expect(limit).toEqual({ maxCalls: preset.maxCalls, periodMs: preset.period * 1000 });
    }
  });
});

describe("the types", () => {
  it("narrow the key", () => {
    const users = new AsyncRateLimiter<`user:${string}`>({ maxCalls: 1, period: "1m" });
    expectTypeOf<(typeof users)["isAllowed"]>().parameter(0).toEqualTypeOf<`user:${string}`>();
    // @ts-expect-error -- a key of another kind
    void users.isAllowed("guest:1");
    // @ts-expect-error -- a limiter of users is no limiter of everybody
    const everybody: AsyncRateLimiter = users;
    const some = new AsyncRateLimiter<"user:1">({ maxCalls: 1, period: "1m" });
    expect([everybody, some]).toHaveLength(2);
  });

  it("refuse a clock beside a store, a duration of an unknown unit, and a misspelt option", () => {
    const store = new MemoryStore();
    // @ts-expect-error -- a store has a clock of its own
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store, clock })).toThrow(TypeError);
    // @ts-expect-error -- years are not a unit
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: "1y" })).toThrow(RangeError);
    // @ts-expect-error -- maxCalls
    expect(() => new AsyncRateLimiter({ maxCals: 1, period: 1 })).toThrow(TypeError);
  });

  it("take undefined for every option that may be left out", () => {
    const nothing = undefined;
    new AsyncRateLimiter({
      maxCalls: 1,
      period: 1,
      name: nothing,
      store: nothing,
      clock: nothing,
      bypass: nothing,
      mode: nothing,
      onDecision: nothing,
    });
  });

  it("make a decision readonly, and the reasons literal", () => {
    expectTypeOf<Decision["allowed"]>().toEqualTypeOf<boolean>();
    expectTypeOf<"Burst rate limit exceeded">().toExtend<Decision["reason"]>();
    expectTypeOf<"Whatever">().not.toExtend<Decision["reason"]>();
  });
});
