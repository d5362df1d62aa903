import fc from "fast-check";
import { describe, expect, expectTypeOf, it } from "vitest";
import {
  DOSProtectionLimiter,
  LayeredRateLimiter,
  type LayeredRateLimiterOptions,
  MemoryStore,
  RateLimitExceededError,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { anyLimits, anyStep, moveOf } from "../../support/commands.js";
import { AnyLimiter } from "../../support/model-run.js";

describe("a layered limiter", () => {
  const limits = [
    { name: "Burst", maxCalls: 2, period: "10s" },
    { name: "Hourly", maxCalls: 3, period: "1h" },
  ] as const;

  it("lets a call pass if all layers do, and records it in none if one refuses", async () => {
    const clock = new ManualClock();
    const limiter = new LayeredRateLimiter({ limits, clock });
    await limiter.check("ada");
    await limiter.check("ada");
    const burst = await limiter.check("ada");
    expect(burst).toMatchObject({
      allowed: false,
      reason: "Burst rate limit exceeded",
      limit: { name: "Burst" },
      retryAfterMs: 10_000,
      layers: [
        { name: "Burst", remaining: 0, retryAfterMs: 10_000, resetAfterMs: 10_000 },
        { name: "Hourly", remaining: 1, retryAfterMs: 0, resetAfterMs: 3_600_000 },
      ],
    });
    expect(new RateLimitExceededError(burst).message).toBe("Burst rate limit exceeded: retry after 10 s");
    clock.advance("10s");
    expect((await limiter.check("ada")).limit.name).toBe("Hourly");
    // Now both refuse a cost of 2, and the longest wait is the first instant at which all layers pass.
    const both = await limiter.check("ada", { cost: 2 });
    expect(both).toMatchObject({ reason: "Hourly rate limit exceeded", retryAfterMs: 3_590_000 });
    clock.set(clock.now() + both.retryAfterMs - 1);
    expect(await limiter.isAllowed("ada", { cost: 2 })).toBe(false);
    clock.advance("1ms");
    expect(await limiter.isAllowed("ada", { cost: 2 })).toBe(true);
  });

  it("is nothing but its limits over the core", async () => {
    await fc.assert(
      fc.asyncProperty(anyLimits, fc.array(anyStep, { maxLength: 60 }), async (limits, steps) => {
        const named = limits.map((limit, at) => ({ ...limit, name: `layer ${at}` }));
        const clock = new ManualClock();
        const layered = new LayeredRateLimiter({
          limits: named.map(({ name, maxCalls, periodMs }) => ({ name, maxCalls, period: `${periodMs}ms` as const })),
          clock,
          bypass: false,
        });
        const composed = new AnyLimiter(named, { clock, bypass: false });
        expect(layered.limits).toEqual(composed.limits);
        for (const step of steps) {
          if (step.do === "check") {
            const { key, cost } = step;
            expect(layered.checkSync(key, { cost })).toEqual(composed.checkSync(key, { cost }));
          } else if (step.do === "reset") {
            await Promise.all([layered.reset(step.key), composed.reset(step.key)]);
          } else {
            clock.set(clock.now() + moveOf(step, named));
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it.each([
    [[], RangeError, "Expected `limits` to be an array of at least one limit"],
    [undefined, TypeError, "Expected `limits` to be an array of limits"],
    [{ name: "Burst", maxCalls: 1, period: 1 }, TypeError, "Expected `limits` to be an array of limits"],
    [[{ maxCalls: 1, period: 1 }], TypeError, "Expected `limits[0].name` to be a string"],
    [[{ name: "", maxCalls: 1, period: 1 }], RangeError, "Expected `limits[0].name` to be a non-empty string"],
    [[...limits, limits[0]], RangeError, "Expected `limits[2].name` to be a name that no other limit has, got `Burst`"],
    [[{ name: "a", maxCalls: 1.5, period: 1 }], RangeError, "Expected `maxCalls` to be a non-negative integer"],
    [[{ name: "a", maxCalls: 1, periods: 1 }], TypeError, "Expected `periods` to be one of the options"],
    [[null], TypeError, "Expected `limits[0]` to be an object"],
  ])("of %o is an error", (wrong, kind, message) => {
    const options = { limits: wrong } as unknown as LayeredRateLimiterOptions;
    expect(() => new LayeredRateLimiter(options)).toThrow(kind);
    expect(() => new LayeredRateLimiter(options)).toThrow(message);
  });

  it("of no room names the layer with least remaining, and waits for none of them", async () => {
    const limiter = new LayeredRateLimiter({ limits, store: new MemoryStore({ maxKeys: 1 }) });
    await limiter.check("ada", { cost: 2 });
    expect(await limiter.check("grace")).toMatchObject({
      reason: "Key capacity exceeded",
      limit: { name: "Burst" },
      layers: [{ retryAfterMs: 0 }, { retryAfterMs: 0 }],
    });
  });
});

describe("the DOS protection limiter", () => {
  it("has the limits Burst, Hourly and Daily, and a boolean as the result of isAllowed", async () => {
    const clock = new ManualClock();
    const guard = new DOSProtectionLimiter({ clock, bypass: false });
    expect(guard.limits).toEqual([
      { name: "Burst", maxCalls: 10, periodMs: 60_000 },
      { name: "Hourly", maxCalls: 500, periodMs: 3_600_000 },
      { name: "Daily", maxCalls: 5000, periodMs: 86_400_000 },
    ]);
    const reasons = new Map<string, number>();
    for (let minute = 0; minute < 26 * 60; minute += 1) {
      for (let call = 0; call < 11; call += 1) {
        const { reason } = guard.checkSync("10.0.0.1");
        reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
      clock.advance("1m");
    }
    expect([...reasons.keys()].sort()).toEqual([
      "Allowed",
      "Burst rate limit exceeded",
      "Daily rate limit exceeded",
      "Hourly rate limit exceeded",
    ]);
    expectTypeOf(await guard.isAllowed("10.0.0.1")).toBeBoolean();
    expect(await guard.isAllowed("10.0.0.2")).toBe(true);
  });

  it("is constructed without options, and with other limits", async () => {
    expect(await new DOSProtectionLimiter().isAllowed("10.0.0.1")).toBe(true);
    const strict = new DOSProtectionLimiter({ limits: [{ name: "Strict", maxCalls: 0, period: "1s" }], bypass: false });
    expect((await strict.check("10.0.0.1")).reason).toBe("Strict rate limit exceeded");
    expect(() => new DOSProtectionLimiter({ limit: [] } as object)).toThrow(TypeError);
    expect(() => new DOSProtectionLimiter(null as unknown as object)).toThrow(TypeError);
    expect(() => new DOSProtectionLimiter({ limits: [] })).toThrow(RangeError);
  });

  it("narrows its keys", () => {
    const guard = new DOSProtectionLimiter<`ip:${string}`>();
    // @ts-expect-error -- a key of another kind
    void guard.check("10.0.0.1");
  });
});
