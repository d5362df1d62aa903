import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { StoreError } from "../../../src/core/errors.js";
import { StoreTime } from "../../../src/store/store-time.js";
import { AsyncRateLimiter } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

function timeOf(readings: readonly number[]): [now: number, timestamp: number][] {
  const clock = new ManualClock();
  const time = new StoreTime(clock);
  return readings.map((reading) => {
    clock.set(reading);
    time.read();
    return [time.now, time.timestamp];
  });
}

describe("store time", () => {
  it("is a reading rounded down for decisions, and rounded up for timestamps", () => {
    expect(timeOf([1, 1.25, 1.75, 2])).toEqual([
      [1, 1],
      [1, 2],
      [1, 2],
      [2, 2],
    ]);
  });

  it("stands still at a step back of the clock, and continues from there", () => {
    expect(timeOf([100, 40, 41, 0, 7])).toEqual([
      [100, 100],
      [100, 100],
      [101, 101],
      [101, 101],
      [108, 108],
    ]);
  });

  it("gains nothing from a clock that jitters by less than a millisecond", () => {
    const jittering = Array.from({ length: 10_000 }, (_, at) => (at % 2 === 0 ? 1000 : 999.9999));
    expect(timeOf(jittering).at(-1)).toEqual([1000, 1000]);
    expect(timeOf([0, 1.5, 1, 2.5, 2, 3.5, 3]).at(-1)).toEqual([3, 4]);
  });

  it("stands still at a fractional step back, to the millisecond", () => {
    expect(timeOf([100.7, 40.2, 41.2, 42.7])).toEqual([
      [100, 101],
      [100, 101],
      [101, 102],
      [102, 103],
    ]);
  });

  it("starts at any reading, including 0 and negative ones", () => {
    expect(timeOf([-5.5, 0])).toEqual([
      [-6, -5],
      [0, 0],
    ]);
  });

  it("never goes back, and never exceeds the sum of the steps forward", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 2 }), (readings) => {
        const times = timeOf(readings);
        let forward = 0;
        for (const [at, [now, timestamp]] of times.entries()) {
          expect(timestamp - now === 0 || timestamp - now === 1).toBe(true);
          const before = times[at - 1];
          if (before === undefined) continue;
          expect(now).toBeGreaterThanOrEqual(before[0]);
          expect(timestamp).toBeGreaterThanOrEqual(before[1]);
          forward += Math.max(0, readings[at]! - readings[at - 1]!);
          expect(now - times[0]![0]).toBeLessThanOrEqual(forward + 1);
        }
      }),
    );
  });

  it("equals the sum of the steps forward if all readings are whole", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 1 }), (readings) => {
        let now = readings[0]!;
        for (const [at, [time, timestamp]] of timeOf(readings).entries()) {
          now += Math.max(0, readings[at]! - (readings[at - 1] ?? readings[at]!));
          expect([time, timestamp]).toEqual([now, now]);
        }
      }),
    );
  });

  it("throws a StoreError with the cause if the clock throws", async () => {
    const cause = new Error("no clock");
    const clock = {
      now: () => {
        throw cause;
      },
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock });
    await expect(limiter.check("ada")).rejects.toMatchObject({ name: "StoreError", cause });
  });

  it("throws a StoreError once steps back add up to 71,000 years, where numbers lose milliseconds", () => {
    const clock = new ManualClock();
    const time = new StoreTime(clock);
    const swing = (): void => {
      for (const reading of [2 ** 50, -(2 ** 50)]) {
        clock.set(reading);
        time.read();
      }
    };
    swing();
    expect(() => {
      for (let swings = 0; swings < 3; swings += 1) swing();
    }).toThrow(StoreError);
  });

  it.each([NaN, Infinity, -Infinity, 1e300, "0", undefined])(
    "throws a StoreError if the clock returns %o",
    async (reading) => {
      const clock = { now: () => reading as number };
      const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock });
      await expect(limiter.check("ada")).rejects.toThrow(
        new StoreError(
          `Expected \`clock.now()\` to be a finite number of milliseconds, got \`${String(reading)}\` (${typeof reading})`,
        ),
      );
    },
  );

  it("allows at most maxCalls calls in any window of real time, and returns capacity at most 1 ms late", () => {
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
              // A timestamp is less than 1 ms late and a decision less than 1 ms early. Their difference is a whole number.
              expect(inWindow(periodMs + 1 + 1e-9)).toBeGreaterThanOrEqual(maxCalls);
            }
          }
        },
      ),
      { numRuns: 500 },
    );
  });
});
