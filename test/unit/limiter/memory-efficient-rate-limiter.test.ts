import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  AsyncRateLimiter,
  MemoryEfficientRateLimiter,
  type MemoryEfficientRateLimiterOptions,
  MemoryStore,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

describe("a memory-efficient limiter", () => {
  it("never holds more than maxKeys keys, at any instant, in either mode", async () => {
    for (const onFull of ["evict", "deny"] as const) {
      const limiter = new MemoryEfficientRateLimiter({ maxCalls: 2, period: "1m", maxKeys: 100, onFull });
      for (let key = 0; key < 1000; key += 1) {
        await limiter.isAllowed(`key ${key}`);
        expect(limiter.size).toBeLessThanOrEqual(100);
      }
      expect(limiter.evictions).toBe(onFull === "evict" ? 900 : 0);
    }
  });

  it("that denies when full refuses newcomers until a key is idle, and keeps every count", async () => {
    const clock = new ManualClock();
    const limiter = new MemoryEfficientRateLimiter({ maxCalls: 5, period: "1m", maxKeys: 2, onFull: "deny", clock });
    await limiter.check("ada");
    clock.advance("10s");
    await limiter.check("grace");
    expect(await limiter.check("newcomer")).toMatchObject({
      reason: "Key capacity exceeded",
      refusedBy: "capacity",
      remaining: 0,
      retryAfterMs: 50_000,
      layers: [{ used: 0 }],
    });
    expect((await limiter.check("ada")).remaining).toBe(3);
    expect((await limiter.check("newcomer")).retryAfterMs).toBe(60_000);
    clock.advance("1m");
    expect(await limiter.isAllowed("newcomer")).toBe(true);
    expect(limiter.evictions).toBe(0);
  });

  it("holds 10,000 keys and evicts by default", async () => {
    const limiter = new MemoryEfficientRateLimiter({ maxCalls: 2, period: "1m" });
    for (let key = 0; key < 10_001; key += 1) await limiter.isAllowed(`key ${key}`);
    expect([limiter.size, limiter.evictions]).toEqual([10_000, 1]);
  });

  it("is an AsyncRateLimiter over a capped store, and nothing else", () => {
    const call = fc.record({
      key: fc.nat(20).map(String),
      cost: fc.integer({ min: 1, max: 3 }),
      wait: fc.constantFrom(0, 0, 1, 9),
    });
    fc.assert(
      fc.property(fc.constantFrom("evict", "deny"), fc.array(call, { maxLength: 120 }), (onFull, calls) => {
        const limit = { maxCalls: 3, period: "10ms", bypass: false } as const;
        const clock = new ManualClock();
        const limiter = new MemoryEfficientRateLimiter({ ...limit, maxKeys: 7, onFull, clock });
        const store = new MemoryStore({ maxKeys: 7, onFull, clock });
        const composed = new AsyncRateLimiter({ ...limit, store });
        for (const { key, cost, wait } of calls) {
          clock.set(clock.now() + wait);
          expect(limiter.checkSync(key, { cost })).toEqual(composed.checkSync(key, { cost }));
          expect([limiter.size, limiter.evictions]).toEqual([store.size, store.evictions]);
        }
      }),
    );
  });

  it.each([
    [{ maxKeys: 0 }, RangeError],
    [{ maxKeys: "10" }, TypeError],
    [{ onFull: "lru" }, RangeError],
    [{ onFull: true }, TypeError],
    [{ maxKey: 10 }, TypeError],
    [{ maxCalls: -1 }, RangeError],
    [{ store: new MemoryStore() }, TypeError],
  ])("with %o is an error", (wrong, kind) => {
    const options = { maxCalls: 2, period: "1m", ...wrong } as unknown as MemoryEfficientRateLimiterOptions;
    expect(() => new MemoryEfficientRateLimiter(options)).toThrow(kind);
  });

  it("takes no store at compile time either", () => {
    // @ts-expect-error -- it has its own
    expect(() => new MemoryEfficientRateLimiter({ maxCalls: 2, period: 1, store: new MemoryStore() })).toThrow(
      TypeError,
    );
  });
});
