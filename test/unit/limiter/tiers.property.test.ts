import fc from "fast-check";
import { expect, it } from "vitest";
import { TieredRateLimiter } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { Model } from "../../support/model.js";

it("each tier of a tiered limiter decides as a model of its own", async () => {
  const step = fc.record({
    key: fc.constantFrom("ada", "grace"),
    tier: fc.constantFrom("free" as const, "premium" as const),
    cost: fc.integer({ min: 1, max: 3 }),
    wait: fc.constantFrom(0, 1, 4, 11),
    reset: fc.constantFrom("no", "no", "no", "no", "key", "tier"),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 80, size: "max" }), async (steps) => {
      const clock = new ManualClock();
      const limits = {
        free: [{ name: undefined, maxCalls: 2, periodMs: 10 }],
        premium: [{ name: undefined, maxCalls: 4, periodMs: 7 }],
      };
      const limiter = new TieredRateLimiter({
        tiers: { free: { maxCalls: 2, period: "10ms" }, premium: { maxCalls: 4, period: "7ms" } },
        clock,
        bypass: false,
      });
      const models = { free: new Model(), premium: new Model() };
      for (const { key, tier, cost, wait, reset } of steps) {
        clock.set(clock.now() + wait);
        const expected = models[tier].check(key, limits[tier], cost, clock.now());
        expect(limiter.checkSync(key, tier, { cost })).toMatchObject(expected);
        if (reset === "key") {
          await limiter.reset(key);
          for (const model of Object.values(models)) model.reset(key);
        } else if (reset === "tier") {
          await limiter.reset(key, tier);
          models[tier].reset(key);
        }
      }
    }),
    { numRuns: 200 },
  );
});
