import { describe, expect, it } from "vitest";
import type { Duration } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

describe("a manual clock", () => {
  it("does not move by itself", () => {
    const clock = new ManualClock(5);
    expect([clock.now(), clock.now()]).toEqual([5, 5]);
    clock.advance("1m");
    expect(clock.now()).toBe(60_005);
    clock.set(-3.5);
    expect(clock.now()).toBe(-3.5);
    clock.advance("0ms");
    expect(clock.now()).toBe(-3.5);
  });

  it("runs timers in the order of their instants, then of their creation, each at its own instant", () => {
    const clock = new ManualClock();
    const woken: [string, number][] = [];
    const wake = (name: string, afterMs: number) => clock.wake(afterMs, () => woken.push([name, clock.now()]));
    wake("late", 30);
    wake("early", 10);
    wake("also early", 10);
    wake("not yet", 31);
    wake("now", 0);
    clock.advance("30ms");
    expect(woken).toEqual([
      ["now", 0],
      ["early", 10],
      ["also early", 10],
      ["late", 30],
    ]);
  });

  it("runs a timer that is set during a move, if its instant is within the move", () => {
    const clock = new ManualClock();
    const woken: number[] = [];
    const again = (): void => {
      woken.push(clock.now());
      clock.wake(10, again);
    };
    clock.wake(10, again);
    clock.advance("35ms");
    expect(woken).toEqual([10, 20, 30]);
    expect(clock.now()).toBe(35);
  });

  it("does not run a timer that is cancelled before or during a move", () => {
    const clock = new ManualClock();
    const woken: string[] = [];
    const off = clock.wake(10, () => woken.push("off"));
    const offOnTheWay = clock.wake(20, () => woken.push("off on the way"));
    clock.wake(15, offOnTheWay);
    off();
    off();
    clock.advance("1m");
    expect(woken).toEqual([]);
  });

  it("runs a timer at its instant after a move backward and forward again", () => {
    const clock = new ManualClock(100);
    const woken: number[] = [];
    clock.wake(10, () => woken.push(clock.now()));
    clock.set(50);
    clock.set(109);
    expect(woken).toEqual([]);
    clock.set(200);
    expect(woken).toEqual([110]);
  });

  it("stays where a timer moves it, if that is further", () => {
    const clock = new ManualClock();
    clock.wake(1000, () => {
      clock.advance("1h");
    });
    clock.advance("2s");
    expect(clock.now()).toBe(3_601_000);
  });

  it("stops at the instant of a timer that throws, and moves on from there", () => {
    const clock = new ManualClock();
    clock.wake(10, () => {
      throw new Error("woken badly");
    });
    expect(() => {
      clock.advance("20ms");
    }).toThrow("woken badly");
    expect(clock.now()).toBe(10);
    clock.advance("10ms");
    expect(clock.now()).toBe(20);
  });

  it("throws for a duration without a unit, and for invalid instants", () => {
    const clock = new ManualClock();
    // @ts-expect-error -- of what unit?
    expect(() => clock.advance(60)).toThrow(TypeError);
    expect(() => clock.advance("1y" as Duration)).toThrow(RangeError);
    expect(() => clock.set(NaN)).toThrow(RangeError);
    expect(() => clock.set("5" as unknown as number)).toThrow(TypeError);
    expect(() => new ManualClock(Infinity)).toThrow(RangeError);
    expect(() => clock.wake(NaN, () => undefined)).toThrow(RangeError);
    expect(() => clock.wake(-1, () => undefined)).toThrow(RangeError);
  });
});
