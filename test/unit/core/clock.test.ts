import { afterEach, describe, expect, it, vi } from "vitest";
import { clockFrom, monotonicClock } from "../../../src/core/clock.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;

describe("the monotonic clock", () => {
  afterEach(() => {
    // First the spy on the fake timer: restored later, it would put the fake timer back.
    vi.restoreAllMocks();
    vi.useRealTimers();
  });

  it("follows fake timers that were installed after the import", () => {
    vi.useFakeTimers({ now: 0 });
    const before = monotonicClock.now();
    vi.advanceTimersByTime(1234);
    expect(monotonicClock.now() - before).toBe(1234);
  });

  it.each([1, 1000, LONGEST_TIMER_MS, LONGEST_TIMER_MS + 1, 2 * LONGEST_TIMER_MS, 2 * LONGEST_TIMER_MS + 5])(
    "calls back once after %d ms, and not a millisecond earlier",
    (ms) => {
      vi.useFakeTimers();
      const timers = vi.spyOn(globalThis, "setTimeout");
      const run = vi.fn();
      monotonicClock.wake(ms, run);
      vi.advanceTimersByTime(ms - 1);
      expect(run).not.toHaveBeenCalled();
      vi.advanceTimersByTime(1);
      expect(run).toHaveBeenCalledOnce();
      expect(vi.getTimerCount()).toBe(0);
      expect(timers).toHaveBeenCalledTimes(Math.ceil(ms / LONGEST_TIMER_MS));
    },
  );

  it.each([0, LONGEST_TIMER_MS])("does not call back if the call is cancelled after %d ms", (laterMs) => {
    vi.useFakeTimers();
    const run = vi.fn();
    const cancel = monotonicClock.wake(3 * LONGEST_TIMER_MS, run);
    vi.advanceTimersByTime(laterMs);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("clockFrom", () => {
  it("accepts any object with a now function", () => {
    const clock = { now: () => 5 };
    expect(clockFrom("clock", clock)).toBe(clock);
  });

  it.each([undefined, null, 5, {}, { now: 5 }])("throws a TypeError for %o", (value) => {
    expect(() => clockFrom("clock", value)).toThrow(/^Expected `clock` to be a clock with a `now` function, got /);
    expect(() => clockFrom("clock", value)).toThrow(TypeError);
  });
});
