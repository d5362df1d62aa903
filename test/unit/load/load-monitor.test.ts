import { describe, expect, it, vi } from "vitest";
import { AdaptiveRateLimiter } from "../../../src/index.js";
import { LoadMonitor, type LoadMonitorOptions, type LoadState, type Signal } from "../../../src/load/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { SimulatedService, TurnClock } from "../../support/simulated-service.js";

/** Requests of 2 ms that the service can process in a second. */
const CAPACITY = 500;

interface Rig {
  readonly clock: ManualClock;
  readonly load: LoadMonitor;
  readonly service: SimulatedService;
  readonly states: LoadState[];
  /** The factors of the states since an instant. */
  readonly factorsFrom: (ms: number) => number[];
}

/** A service with a monitor, both on one manual clock. */
function rig(
  rate: (atMs: number) => number,
  { limiters = 1, ...options }: LoadMonitorOptions & { limiters?: number } = {},
): Rig {
  const clock = new ManualClock();
  const states: LoadState[] = [];
  const services: SimulatedService[] = [];
  const signal: Signal = {
    name: "utilization",
    low: 0.95,
    high: 0.995,
    mayRepeat: true,
    read: () => services[0]!.busy(),
  };
  const load = new LoadMonitor({ clock, signals: [signal], onSample: (state) => states.push(state), ...options });
  const base = { baseMaxCalls: (2 * CAPACITY) / 10 / limiters, period: "100ms", clock, load, bypass: false } as const;
  const adaptive = Array.from({ length: limiters }, () => new AdaptiveRateLimiter(base));
  const service = new SimulatedService({ clock, limiters: adaptive, rate });
  services.push(service);
  const factorsFrom = (ms: number): number[] => states.slice(Math.round(ms / 25)).map(({ factor }) => factor);
  return { clock, load, service, states, factorsFrom };
}

/** In an interval: responses in time as a share of the capacity, the 99th percentile of latency, and the share of refused requests. */
function outcome(service: SimulatedService, fromMs: number, untilMs: number) {
  const served = service.served.filter(({ atMs }) => atMs >= fromMs && atMs < untilMs);
  const latencies = served.filter(({ allowed }) => allowed).map(({ latencyMs }) => latencyMs);
  latencies.sort((one, other) => one - other);
  return {
    goodput: latencies.filter((ms) => ms <= 250).length / (CAPACITY * ((untilMs - fromMs) / 1000)),
    p99: latencies[Math.floor(latencies.length * 0.99)] ?? 0,
    refused: served.filter(({ allowed }) => !allowed).length / served.length,
  };
}

describe("a service under a steady load", () => {
  it.each([2, 3])("of %d times its capacity responds in time to 80 % of its capacity", (times) => {
    const { service } = rig(() => times * CAPACITY);
    service.run(20_000);
    const { goodput, p99 } = outcome(service, 2000, 20_000);
    expect(goodput).toBeGreaterThan(0.8);
    expect(p99).toBeLessThan(100);
  });

  it("below its capacity refuses less than 2 % of the requests", () => {
    const { service } = rig(() => 0.85 * CAPACITY);
    service.run(20_000);
    expect(outcome(service, 0, 20_000).refused).toBeLessThan(0.02);
  });

  it("recovers from a queue of thousands, although the event loop turns once in a second", () => {
    const clock = new ManualClock();
    const turns = new TurnClock(clock);
    const services: SimulatedService[] = [];
    const busy: Signal = { name: "busy", low: 0.95, high: 0.995, mayRepeat: true, read: () => services[0]!.busy() };
    const late: Signal = { name: "late", low: 25, high: 50, mayRepeat: true, read: () => turns.lateness() };
    const load = new LoadMonitor({ clock: turns, signals: [busy, late] });
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 100, period: "100ms", clock, load, bypass: false });
    const rate = (): number => 3 * CAPACITY;
    const service = new SimulatedService({ clock, limiters: [limiter], rate, onTurn: () => turns.endTurn() });
    services.push(service);
    service.run(20_000);
    const { goodput, p99 } = outcome(service, 5000, 20_000);
    expect(goodput).toBeGreaterThan(0.5);
    expect(p99).toBeLessThan(250);
  });

  it("of twice its capacity responds late to every request without a limiter", () => {
    const { load, service } = rig(() => 2 * CAPACITY);
    load.stop();
    service.run(5000);
    expect(outcome(service, 2000, 5000).goodput).toBe(0);
  });
});

describe("the factor", () => {
  it("settles without oscillation after a step of the load", () => {
    const { factorsFrom, service } = rig((atMs) => (atMs < 2000 ? 0.3 : 2) * CAPACITY);
    service.run(20_000);
    expect(factorsFrom(0).slice(0, 79)).toEqual(Array.from({ length: 79 }, () => 1));
    const settled = factorsFrom(5000);
    const mean = settled.reduce((sum, factor) => sum + factor, 0) / settled.length;
    expect(mean).toBeGreaterThan(0.35);
    expect(mean).toBeLessThan(0.6);
    expect(Math.max(...settled) / mean).toBeLessThan(1.4);
    expect(Math.min(...settled) / mean).toBeGreaterThan(0.6);
  });

  it("limits an overload within half a second after idling", () => {
    const { service } = rig((atMs) => (atMs < 1000 ? 0 : 2) * CAPACITY);
    service.run(2000);
    expect(service.served.find(({ allowed }) => !allowed)!.atMs).toBeLessThan(1500);
  });

  it("follows a ramp of the load up and down, and returns to 1", () => {
    const { factorsFrom, service } = rig((atMs) => CAPACITY * Math.max(0.2, 3 - Math.abs(atMs - 10_000) / 3000));
    service.run(26_000);
    expect(Math.min(...factorsFrom(0))).toBeLessThan(0.6);
    expect(factorsFrom(25_000).every((factor) => factor === 1)).toBe(true);
    expect(outcome(service, 8000, 12_000).p99).toBeLessThan(100);
  });

  it("follows a sine of the load, and returns to 1 in each trough", () => {
    const { factorsFrom, service } = rig((atMs) => CAPACITY * (1.1 - Math.cos((atMs / 20_000) * 2 * Math.PI)));
    service.run(60_000);
    for (const valley of [20_000, 40_000]) expect(factorsFrom(valley)[0]).toBe(1);
    expect(outcome(service, 5000, 60_000).p99).toBeLessThan(100);
  });

  it("ignores a spike of one tick", () => {
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

  it("stays constant while the signal is between low and high", () => {
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

  it.each(["with", "without"])("returns to 1 within its recovery time, %s traffic", (traffic) => {
    const after = traffic === "with" ? 0.3 * CAPACITY : 0;
    const { factorsFrom, service } = rig((atMs) => (atMs < 5000 ? 3 * CAPACITY : after));
    service.run(11_000);
    expect(factorsFrom(5000)[0]).toBeLessThan(0.6);
    expect(factorsFrom(10_500).every((factor) => factor === 1)).toBe(true);
  });

  it("is never below the floor, and rises again from it", () => {
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

  it("halves under constant overload in about one and a half halving times", () => {
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "a", low: 1, high: 2, mayRepeat: true, read: () => 9 }] });
    load.start();
    clock.advance("2s");
    expect(load.factor).toBeGreaterThan(0.25);
    expect(load.factor).toBeLessThan(0.6);
  });

  it("applies to two limiters of one monitor", () => {
    const { service, load } = rig(() => 2 * CAPACITY, { limiters: 2 });
    service.run(20_000);
    expect(load.factor).toBeLessThan(0.7);
    const { goodput, p99 } = outcome(service, 2000, 20_000);
    expect(goodput).toBeGreaterThan(0.8);
    expect(p99).toBeLessThan(100);
  });
});

describe("a signal", () => {
  const failures: [string, (now: number) => number][] = [
    ["returns NaN", () => NaN],
    ["returns Infinity", () => Infinity],
    ["returns undefined", () => undefined as unknown as number],
    ["throws", () => JSON.parse("no") as number],
  ];

  it.each(failures)("that %s keeps the factor, and is reported once", (_, fail) => {
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

  it("that repeats a reading above low keeps the factor, and is reported once", () => {
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

  it("that repeats a reading below low is not reported", () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [{ name: "quiet", low: 1, high: 2, read: () => 0 }] });
    load.start();
    clock.advance("1h");
    expect(load.state.pressure).toBeCloseTo(-1);
    expect(warned).not.toHaveBeenCalled();
  });

  it("that cannot be started has no reading, and is reported once", () => {
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

  it("without a reading lets other signals reduce the factor, and not raise it", () => {
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

  it("starts with its first limiter", () => {
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

  it("restores the full limits when it stops, and starts again only by start()", () => {
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

  it("stops at the end of a `using` block", () => {
    const watched = signal();
    const load = new LoadMonitor({ clock: new ManualClock(), signals: [watched] });
    load.start();
    load[Symbol.dispose]();
    expect(watched.stop).toHaveBeenCalledOnce();
  });

  it("can be stopped in onSample", () => {
    const clock = new ManualClock();
    const load: LoadMonitor = new LoadMonitor({ clock, signals: [signal()], onSample: () => load.stop() });
    load.start();
    clock.advance("1m");
    expect(load.state.signals).toEqual([]);
  });

  it("ticks once in an interval if onSample stops and starts it", () => {
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
  ])("continues when a listener or onSample %s, and warns once", async (_, fail) => {
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

  it("passes each state to onSample", () => {
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

  it("calls its listeners when the factor changes, until they stop listening", () => {
    const clock = new ManualClock();
    const load = new LoadMonitor({ clock, signals: [signal()] });
    const listener = vi.fn();
    const stop = load.listen(listener);
    clock.advance("1s");
    const calls = listener.mock.calls.length;
    expect(calls).toBeGreaterThan(5);
    expect(listener).toHaveBeenLastCalledWith(load.factor);
    stop();
    clock.advance("1s");
    expect(listener).toHaveBeenCalledTimes(calls);
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
  ])("throws for the options %o", (options, message) => {
    expect(() => new LoadMonitor(options as LoadMonitorOptions)).toThrow(message);
  });
});
