import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StoreError } from "../../src/core/errors.js";
import { StoreTime } from "../../src/core/store-time.js";
import { AsyncRateLimiter } from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";

function timeOf(readings: readonly number[]): [now: number, stamp: number][] {
  const clock = new ManualClock();
  const time = new StoreTime(clock);
  return readings.map((reading) => {
    clock.set(reading);
    time.read();
    return [time.now, time.stamp];
  });
}

describe("store time", () => {
  it("rounds a reading down to judge and up to record", () => {
    expect(timeOf([1, 1.25, 1.75, 2])).toEqual([
      [1, 1],
      [1, 2],
      [1, 2],
      [2, 2],
    ]);
  });

  it("takes a step backwards as no time passing, and goes on from there", () => {
    expect(timeOf([100, 40, 41, 0, 7])).toEqual([
      [100, 100],
      [100, 100],
      [101, 101],
      [101, 101],
      [108, 108],
    ]);
  });

  it("starts at any reading, 0 and below included", () => {
    expect(timeOf([-5.5, 0])).toEqual([
      [-6, -5],
      [0, 0],
    ]);
  });

  it("never goes backwards and never runs ahead of the clock by more than it was set back", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 2 }), (readings) => {
        const times = timeOf(readings);
        for (const [at, [now, stamp]] of times.entries()) {
          expect(stamp - now === 0 || stamp - now === 1).toBe(true);
          const before = times[at - 1];
          if (before === undefined) continue;
          expect(now).toBeGreaterThanOrEqual(before[0]);
          expect(stamp).toBeGreaterThanOrEqual(before[1]);
          const passed = Math.max(0, Math.floor(readings[at]!) - Math.floor(readings[at - 1]!));
          expect(now - before[0]).toBe(passed);
        }
      }),
    );
  });

  it.each([NaN, Infinity, -Infinity, 1e300, "0", undefined])(
    "is a StoreError where the clock reads %o",
    async (reading) => {
      const clock = { now: () => reading as number };
      const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock });
      await expect(limiter.check("ada")).rejects.toThrow(StoreError);
    },
  );

  it("lets no window of real time hold a call too many, and returns capacity at most 1 ms late", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 4 }),
        fc.integer({ min: 1, max: 10 }),
        fc.array(fc.double({ min: 0, max: 4, noNaN: true }), { minLength: 1, maxLength: 60 }),
        (maxCalls, periodMs, gaps) => {
          const clock = new ManualClock();
          const limiter = new AsyncRateLimiter({ maxCalls, period: `${periodMs}ms`, clock });
          const admitted: number[] = [];
          for (const gap of gaps) {
            clock.set(clock.now() + gap);
            const now = clock.now();
            const inWindow = (ms: number): number => admitted.filter((at) => now - at < ms).length;
            if (limiter.checkSync("ada").allowed) {
              expect(inWindow(periodMs)).toBeLessThan(maxCalls);
              admitted.push(now);
            } else {
              // A stamp is under 1 ms late and a judgement under 1 ms early; together they are still a whole number.
              expect(inWindow(periodMs + 1 + 1e-9)).toBeGreaterThanOrEqual(maxCalls);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
