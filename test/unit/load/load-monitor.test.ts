import { describe, expect, it, vi } from "vitest";
import { AdaptiveRateLimiter } from "../../../src/index.js";
import { LoadMonitor, type LoadMonitorOptions, type LoadState, type Signal } from "../../../src/load/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { Plant, TurnClock } from "../../support/simulated-service.js";

/** What the plant can serve in a second: requests of 2 ms. */
const CAPACITY = 500;

interface Rig {
  readonly clock: ManualClock;
  readonly load: LoadMonitor;
  readonly plant: Plant;
  readonly states: LoadState[];
  /** The factors of the states from an instant on. */
  readonly factorsFrom: (ms: number) => number[];
}

/** A service that is watched by a monitor, all of it on one manual clock. */
function rig(
  rate: (atMs: number) => number,
  { limiters = 1, ...options }: LoadMonitorOptions & { limiters?: number } = {},
): Rig {
  const clock = new ManualClock();
  const states: LoadState[] = [];
  const plants: Plant[] = [];
  const signal: Signal = {
    name: "utilization",
    low: 0.95,
    high: 0.995,
    mayRepeat: true,
    read: () => plants[0]!.busy(),
  };
  const load = new LoadMonitor({ clock, signals: [signal], onSample: (state) => states.push(state), ...options });
  const base = { baseMaxCalls: (2 * CAPACITY) / 10 / limiters, period: "100ms", clock, load, bypass: false } as const;
  const made = Array.from({ length: limiters }, () => new AdaptiveRateLimiter(base));
  const plant = new Plant({ clock, limiters: made, rate });
  plants.push(plant);
  const factorsFrom = (ms: number): number[] => states.slice(Math.round(ms / 25)).map(({ factor }) => factor);
  return { clock, load, plant, states, factorsFrom };
}

/** How much of its capacity the plant answered in time in a stretch, the 99th percentile of its answers, and the share it refused. */
function outcome(plant: Plant, fromMs: number, untilMs: number) {
  const served = plant.served.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  const latencies = served.filter(({ allowed }) => allowed).map(({ latencyMs }) => latencyMs);
  latencies.sort((one, other) => one - other);
  return {
    goodput: latencies.filter((ms) => ms <= 250).length / (CAPACITY * ((untilMs - fromMs) / 1000)),
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    refused: served.filter(({ allowed }) => !allowed).length / served.length,
  };
}

describe("a service under a steady load", () => {
  it.each([2, 3])("of %d times its capacity answers most of what it can, in time", (times) => {
    const { plant } = rig(() => times * CAPACITY);
    plant.run(20_000);
    const { goodput, p99 } = outcome(plant, 2000, 20_000);
    expect(goodput).toBeGreaterThan(0.8);
    expect(p99).toBeLessThan(100);
  });

  it("that it can bear refuses next to nobody", () => {
    const { plant } = rig(() => 0.85 * CAPACITY);
    plant.run(20_000);
    expect(outcome(plant, 0, 20_000).refused).toBeLessThan(0.02);
  });

  it("is brought back from a line of thousands, though the loop then ticks once in a second", () => {
    const clock = new ManualClock();
    const turns = new TurnClock(clock);
    const plants: Plant[] = [];
    const busy: Signal = { name: "busy", low: 0.95, high: 0.995, mayRepeat: true, read: () => plants[0]!.busy() };
    const late: Signal = { name: "late", low: 25, high: 50, mayRepeat: true, read: () => turns.lateness() };
    const load = new LoadMonitor({ clock: turns, signals: [busy, late] });
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 100, period: "100ms", clock, load, bypass: false });
    const rate = (): number => 3 * CAPACITY;
    const plant = new Plant({ clock, limiters: [limiter], rate, onTurn: () => turns.endTurn() });
    plants.push(plant);
    plant.run(20_000);
    const { goodput, p99 } = outcome(plant, 5000, 20_000);
    expect(goodput).toBeGreaterThan(0.5);
    expect(p99).toBeLessThan(250);
  });

  it("without a limiter it would be late for everybody: the plant is no toy", () => {
    const { load, plant } = rig(() => 2 * CAPACITY);
    load.stop();
    plant.run(5000);
    expect(outcome(plant, 2000, 5000).goodput).toBe(0);
  });
});

describe("the factor", () => {
  it("settles after a step without oscillation: it stays near where it is", () => {
    const { factorsFrom, plant } = rig((atMs) => (atMs < 2000 ? 0.3 : 2) * CAPACITY);
    plant.run(20_000);
    expect(factorsFrom(0).slice(0, 79)).toEqual(Array.from({ length: 79 }, () => 1));
    const settled = factorsFrom(5000);
    const mean = settled.reduce((sum, factor) => sum + factor, 0) / settled.length;
    expect(mean).toBeGreaterThan(0.35);
    expect(mean).toBeLessThan(0.6);
    expect(Math.max(...settled) / mean).toBeLessThan(1.4);
    expect(Math.min(...settled) / mean).toBeGreaterThan(0.6);
  });

  it("bites within half a second, however far the limit floats above the traffic", () => {
    const { plant } = rig((atMs) => (atMs < 1000 ? 0 : 2) * CAPACITY);
    plant.run(2000);
    expect(plant.served.find(({ allowed }) => !allowed)!.atMs).toBeLessThan(1500);
  });

  it("follows a ramp up and down again, and is 1 in the end", () => {
    const { factorsFrom, plant } = rig((atMs) => CAPACITY * Math.max(0.2, 3 - Math.abs(atMs - 10_000) / 3000));
    plant.run(26_000);
    expect(Math.min(...factorsFrom(0))).toBeLessThan(0.6);
    expect(factorsFrom(25_000).every((factor) => factor === 1)).toBe(true);
    expect(outcome(plant, 8000, 12_000).p99).toBeLessThan(100);
  });

  it("follows a sine, and is back at 1 in each valley", () => {
    const { factorsFrom, plant } = rig((atMs) => CAPACITY * (1.1 - Math.cos((atMs / 20_000) * 2 * Math.PI)));
    plant.run(60_000);
    for (const valley of [20_000, 40_000]) expect(factorsFrom(valley)[0]).toBe(1);
    expect(outcome(plant, 5000, 60_000).p99).toBeLessThan(100);
  });

  it("does not move for a spike of a tick", () => {
    let busy = 0.3;
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "a", low: 0.8, high: 0.9, read: () => (busy += 1e-9) }] });
    load.start();
    clock.advance("1s");
    busy = 5;
    clock.advance("25ms");
    busy = 0.3;
    clock.advance("1s");
    expect(load.factor).toBe(1);
  });

  it("holds inside the band", () => {
    let reading = 2;
    const clock = new ManualClock();
    const load = new LoadMonitor({
      clock,
      signals: [{ name: "a", low: 1, high: 3, mayRepeat: true, read: () => reading }],
    });
    load.start();
    reading = 9;
    clock.advance("1s");
    const held = load.factor;
    expect(held).toBeLessThan(1);
    reading = 2;
    clock.advance("1h");
    expect(load.factor).toBe(held);
  });

  it.each(["with", "without"])("recovers fully in the time of its recovery, %s traffic", (traffic) => {
    const after = traffic === "with" ? 0.3 * CAPACITY : 0;
    const { factorsFrom, plant } = rig((atMs) => (atMs < 5000 ? 3 * CAPACITY : after));
    plant.run(11_000);
    expect(factorsFrom(5000)[0]).toBeLessThan(0.6);
    expect(factorsFrom(10_500).every((factor) => factor === 1)).toBe(true);
  });

  it("is never below the floor, and not stuck there", () => {
    let reading = 9;
    const clock = new ManualClock();
    const factors: number[] = [];
    const load = new LoadMonitor({
      clock,
      floor: 0.25,
      signals: [{ name: "a", low: 1, high: 2, mayRepeat: true, read: () => reading }],
      onSample: ({ factor }) => factors.push(factor),
    });
    load.start();
    for (let tick = 0; tick < 400; tick += 1) {
      load.report(0.01);
      clock.advance("25ms");
    }
    expect(Math.min(...factors)).toBe(0.25);
    reading = 0;
    clock.advance("6s");
    expect(load.factor).toBe(1);
  });

  it("halves under steady cuts in about its halving time and a half", () => {
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "a", low: 1, high: 2, mayRepeat: true, read: () => 9 }] });
    load.start();
    clock.advance("2s");
    expect(load.factor).toBeGreaterThan(0.25);
    expect(load.factor).toBeLessThan(0.6);
  });

  it("is one for two limiters that listen to one monitor", () => {
    const { plant, load } = rig(() => 2 * CAPACITY, { limiters: 2 });
    plant.run(20_000);
    expect(load.factor).toBeLessThan(0.7);
    const { goodput, p99 } = outcome(plant, 2000, 20_000);
    expect(goodput).toBeGreaterThan(0.8);
    expect(p99).toBeLessThan(100);
  });
});

describe("a sensor that fails", () => {
  const failures: [string, (now: number) => number][] = [
    ["reads NaN", () => NaN],
    ["reads Infinity", () => Infinity],
    ["reads nothing", () => undefined as unknown as number],
    ["throws", () => JSON.parse("no") as number],
  ];

  it.each(failures)("and %s holds the last factor, and is told once", (_, fail) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    let read: (now: number) => number = () => 9;
    const clock = new ManualClock();
    const signal: Signal = { name: "pool", low: 1, high: 2, mayRepeat: true, read: () => read(clock.now()) };
    const load = new LoadMonitor({ clock, signals: [signal] });
    load.start();
    clock.advance("1s");
    const held = load.factor;
    expect(held).toBeLessThan(1);
    read = fail;
    clock.advance("1m");
    expect(load.factor).toBe(held);
    expect(load.state.signals[0]?.pressure).toBeUndefined();
    expect(warned).toHaveBeenCalledExactlyOnceWith(
      'The signal "pool" has no reading; limits that follow it hold',
      expect.anything(),
    );
    read = () => 0;
    clock.advance("6s");
    expect(load.factor).toBe(1);
  });

  it("and is stuck holds the last factor, wherever it is stuck above its low, and is told once", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    let reading = 1.9;
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "pool", low: 1, high: 2, read: () => reading }] });
    load.start();
    for (let tick = 0; tick < 20; tick += 1) {
      reading += 0.1;
      clock.advance("25ms");
    }
    clock.advance("1s");
    const held = load.factor;
    expect(held).toBeLessThan(1);
    clock.advance("1m");
    expect(load.factor).toBe(held);
    expect(warned).toHaveBeenCalledExactlyOnceWith(
      'The signal "pool" has read the same 30 times, and seems to be stuck; limits that follow it hold',
      expect.anything(),
    );
  });

  it("and rests at one reading is not stuck: a quiet service reads the same for hours", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "quiet", low: 1, high: 2, read: () => 0 }] });
    load.start();
    clock.advance("1h");
    expect(load.state.pressure).toBeCloseTo(-1);
    expect(warned).not.toHaveBeenCalled();
  });

  it("and cannot be started is one without a reading", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const clock = new ManualClock();
    const missing: Signal = {
      name: "missing",
      low: 1,
      high: 2,
      read: () => NaN,
      start: () => {
        throw new Error("Not on this runtime");
      },
    };
    const load = new LoadMonitor({ clock, signals: [missing] });
    load.start();
    clock.advance("1m");
    expect(load.factor).toBe(1);
    expect(warned).toHaveBeenCalledExactlyOnceWith(
      'The signal "missing" could not be started; limits that follow it hold',
      expect.objectContaining({ detail: expect.stringContaining("Not on this runtime") as string }),
    );
  });

  it("keeps no other from cutting, and every other from growing", () => {
    vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    let reading = 9;
    const clock = new ManualClock();
    const broken: Signal = { name: "broken", low: 1, high: 2, read: () => NaN };
    const working: Signal = { name: "working", low: 1, high: 2, mayRepeat: true, read: () => reading };
    const load = new LoadMonitor({ clock, signals: [broken, working] });
    load.start();
    clock.advance("1s");
    const cut = load.factor;
    expect(cut).toBeLessThan(1);
    reading = 0;
    clock.advance("1m");
    expect(load.factor).toBe(cut);
  });
});

describe("a monitor", () => {
  const signal = (): Signal => ({
    name: "a",
    low: 1,
    high: 2,
    mayRepeat: true,
    read: vi.fn(() => 9),
    start: vi.fn(),
    stop: vi.fn(),
  });

  it("starts with the first limiter that listens, and not before", () => {
    const clock = new ManualClock();
    const watched = signal();
    const load = new LoadMonitor({ clock, signals: [watched] });
    clock.advance("1s");
    expect(watched.start).not.toHaveBeenCalled();
    new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    clock.advance("1s");
    expect(watched.start).toHaveBeenCalledOnce();
    expect(watched.read).toHaveBeenCalledTimes(40);
  });

  it("stops, with the limits in full force, and is started again by hand only", () => {
    const clock = new ManualClock();
    const watched = signal();
    const load = new LoadMonitor({ clock, signals: [watched] });
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    clock.advance("2s");
    expect(limiter.maxCalls).toBeLessThan(10);
    load.stop();
    load.stop();
    expect(limiter.maxCalls).toBe(10);
    expect(load.state).toEqual({ factor: 1, pressure: 0, used: undefined, signals: [] });
    expect(watched.stop).toHaveBeenCalledOnce();
    new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    const reads = vi.mocked(watched.read).mock.calls.length;
    clock.advance("2s");
    expect(watched.read).toHaveBeenCalledTimes(reads);
    load.start();
    load.start();
    clock.advance("1s");
    expect(watched.read).toHaveBeenCalledTimes(reads + 40);
  });

  it("is stopped at the end of a `using` block", () => {
    const watched = signal();
    const load = new LoadMonitor({ clock: new ManualClock(), signals: [watched] });
    load.start();
    load[Symbol.dispose]();
    expect(watched.stop).toHaveBeenCalledOnce();
  });

  it("may be stopped by whoever hears of a tick", () => {
    const clock = new ManualClock();
    const load: LoadMonitor = new LoadMonitor({ clock, signals: [signal()], onSample: () => load.stop() });
    load.start();
    clock.advance("1m");
    expect(load.state.signals).toEqual([]);
  });

  it("ticks once an interval, though it is stopped and started again within a tick", () => {
    const clock = new ManualClock();
    const watched = signal();
    const load: LoadMonitor = new LoadMonitor({
      clock,
      signals: [watched],
      onSample: () => {
        load.stop();
        load.start();
      },
    });
    load.start();
    clock.advance("1s");
    expect(watched.read).toHaveBeenCalledTimes(40);
  });

  it.each([
    ["throws", () => JSON.parse("no") as unknown],
    ["rejects", () => Promise.reject(new Error("no metrics"))],
  ])("goes on when a listener or onSample %s, and says so once", async (_, fail) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const clock = new ManualClock();
    const onSample = vi.fn(fail);
    const load = new LoadMonitor({ clock, signals: [signal()], onSample });
    const listener = vi.fn();
    load.listen(fail);
    load.listen(listener);
    clock.advance("1s");
    await Promise.resolve();
    expect(onSample).toHaveBeenCalledTimes(40);
    expect(listener.mock.calls.length).toBeGreaterThan(5);
    expect(warned).toHaveBeenCalledOnce();
  });

  it("tells each state to onSample", () => {
    const clock = new ManualClock();
    const onSample = vi.fn();
    const load = new LoadMonitor({ clock, signals: [signal()], onSample });
    load.start();
    load.report(0.25);
    load.report(0.5);
    load.report(0.125);
    load.report(NaN);
    load.report(-1);
    clock.advance("25ms");
    expect(onSample).toHaveBeenCalledExactlyOnceWith(load.state);
    expect(load.state).toMatchObject({ used: 0.5, signals: [{ name: "a", value: 9, pressure: 2 }] });
    clock.advance("25ms");
    expect(load.state.used).toBeUndefined();
  });

  it("tells limiters of a factor that has moved, until they stop listening", () => {
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [signal()] });
    const listener = vi.fn();
    const stop = load.listen(listener);
    clock.advance("1s");
    const heard = listener.mock.calls.length;
    expect(heard).toBeGreaterThan(5);
    expect(listener).toHaveBeenLastCalledWith(load.factor);
    stop();
    clock.advance("1s");
    expect(listener).toHaveBeenCalledTimes(heard);
  });

  it.each<[object, string]>([
    [{ interval: "10ms" }, "Expected `interval` to be a duration from 20ms to 1m, got `10ms` (string)"],
    [{ interval: "2m" }, "`interval`"],
    [{ interval: 25 }, "`interval`"],
    [{ floor: 0 }, "Expected `floor` to be a fraction above 0, up to 1, got `0` (number)"],
    [{ floor: 1.1 }, "`floor`"],
    [{ floor: "0.1" }, "`floor`"],
    [{ halving: "10ms" }, "Expected `halving` to be a duration of at least the interval, 25ms, got `10ms` (string)"],
    [{ recovery: "20ms" }, "Expected `recovery` to be a duration of at least the interval"],
    [{ signals: [] }, "Expected `signals` to be an array of at least one signal"],
    [{ signals: {} }, "Expected `signals` to be an array of signals"],
    [{ signals: [{ name: "a", low: 1, high: 2 }] }, "Expected `signals[0]` to be a signal with a `name` and a `read`"],
    [{ signals: [{ name: "a", low: 2, high: 2, read: () => 1 }] }, "a finite number above `low`, 2, got `2` (number)"],
    [{ signals: [{ name: "a", low: NaN, high: 2, read: () => 1 }] }, "`signals[0].low`"],
    [{ signals: [{ name: "a", low: "1", high: 2, read: () => 1 }] }, "`signals[0].low`"],
    [{ onSample: 5 }, "`onSample`"],
    [{ clock: { now: () => 1 } }, "Expected `clock` to be a clock with a `wake` function"],
    [{ target: 0.9 }, "`target`"],
  ])("refuses %o", (options, message) => {
    expect(() => new LoadMonitor(options as LoadMonitorOptions)).toThrow(message);
  });
});
