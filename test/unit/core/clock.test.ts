import { afterEach, describe, expect, it, vi } from "vitest";
import { clockFrom, monotonicClock } from "../../../src/core/clock.js";

const LONGEST_TIMER_MS = 2 ** 31 - 1;

describe("the monotonic clock", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("reads the performance of the moment, so that fake timers are obeyed whenever they are installed", () => {
    vi.useFakeTimers({ now: 0 });
    const before = monotonicClock.now();
    vi.advanceTimersByTime(1234);
    expect(monotonicClock.now() - before).toBe(1234);
  });

  it.each([1, 1000, LONGEST_TIMER_MS, LONGEST_TIMER_MS + 1, 2 * LONGEST_TIMER_MS, 2 * LONGEST_TIMER_MS + 5])(
    "wakes once after %d ms, and not a millisecond before",
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

  it.each([0, LONGEST_TIMER_MS])("wakes nobody who has called it off, be it %d ms later", (laterMs) => {
    vi.useFakeTimers();
    const run = vi.fn();
    const callOff = monotonicClock.wake(3 * LONGEST_TIMER_MS, run);
    vi.advanceTimersByTime(laterMs);
    callOff();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a clock of one's own", () => {
  it("is anything with a now function", () => {
    const clock = { now: () => 5 };
    expect(clockFrom("clock", clock)).toBe(clock);
  });

  it.each([undefined, null, 5, {}, { now: 5 }])("is not %o, which is a TypeError", (value) => {
    expect(() => clockFrom("clock", value)).toThrow(/^Expected `clock` to be a clock with a `now` function, got /);
    expect(() => clockFrom("clock", value)).toThrow(TypeError);
  });
});
