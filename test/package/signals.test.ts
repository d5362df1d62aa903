import { execFile } from "node:child_process";
import { performance } from "node:perf_hooks";
import { totalmem } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { getHeapStatistics } from "node:v8";
import { afterEach, describe, expect, inject, it, vi } from "vitest";
import { cpuUsage, eventLoopDelay, eventLoopUtilization, heapUsage, type Signal } from "../../src/load/index.js";
import { processorQuota } from "../../src/load/cpu-usage.js";
import { heapLimit } from "../../src/load/heap-usage.js";

const run = promisify(execFile);
const started: Signal[] = [];

function start(signal: Signal): Signal {
  signal.start?.();
  started.push(signal);
  return signal;
}

afterEach(() => {
  for (const signal of started.splice(0)) signal.stop?.();
});

function spin(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe("event loop utilization", () => {
  it("is the share of the time since the previous reading in which the loop was busy", async () => {
    const signal = start(eventLoopUtilization());
    spin(50);
    expect(signal.read()).toBeGreaterThan(0.9);
    await sleep(100);
    // The time before the previous reading does not count.
    expect(signal.read()).toBeLessThan(0.5);
  });

  it("is NaN if the runtime does not measure it", () => {
    vi.spyOn(performance, "eventLoopUtilization").mockReturnValue({ idle: 0, active: 0, utilization: 0 });
    expect(start(eventLoopUtilization()).read()).toBeNaN();
  });
});

describe("event loop delay", () => {
  it("with percentile 100 is the longest block since the previous reading, in milliseconds", async () => {
    const signal = start(eventLoopDelay({ percentile: 100 }));
    await sleep(50);
    spin(150);
    await sleep(30);
    expect(signal.read()).toBeGreaterThan(100);
    await sleep(100);
    expect(signal.read()).toBeLessThan(100);
  });

  it("with percentile 99 includes repeated blocks", async () => {
    const signal = start(eventLoopDelay({ percentile: 99 }));
    for (let block = 0; block < 5; block += 1) {
      await sleep(15);
      spin(60);
    }
    await sleep(110);
    expect(signal.read()).toBeGreaterThan(30);
  });

  it("is NaN if no probe has run for a second", () => {
    const signal = start(eventLoopDelay({ percentile: 100 }));
    const later = performance.now() + 1500;
    vi.spyOn(performance, "now").mockReturnValue(later);
    // A few readings may come before the probe, because the loop delays both.
    for (let tick = 0; tick < 10; tick += 1) expect(signal.read()).toBe(0);
    expect(signal.read()).toBeNaN();
  });

  it("is NaN before it is started", () => {
    expect(eventLoopDelay({ percentile: 100 }).read()).toBeNaN();
    expect(eventLoopDelay({ percentile: 99 }).read()).toBeNaN();
  });

  it.each([50, "99", undefined])("rejects percentile %o", (percentile) => {
    expect(() => eventLoopDelay({ percentile } as never)).toThrow("Expected `percentile` to be 99 or 100");
  });
});

describe("cpu usage", () => {
  it("is processor time as a share of the quota of the process", () => {
    const signal = start(cpuUsage());
    spin(100);
    const share = signal.read();
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(3);
  });

  const files = (texts: Record<string, string>) => (path: string) => {
    const text = texts[path];
    if (text === undefined) throw new Error("ENOENT");
    return text;
  };

  it.each([
    ["no control groups", {}, Infinity],
    ["version 2, in a container", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "150000 100000\n" }, 1.5],
    [
      "version 2, in a group",
      { "/proc/self/cgroup": "0::/api.slice\n", "/sys/fs/cgroup/api.slice/cpu.max": "50000 100000\n" },
      0.5,
    ],
    [
      "version 2, a path of the host inside a container",
      { "/proc/self/cgroup": "0::/x\n", "/sys/fs/cgroup/cpu.max": "200000 100000\n" },
      2,
    ],
    ["version 2, no quota", { "/proc/self/cgroup": "0::/\n", "/sys/fs/cgroup/cpu.max": "max 100000\n" }, Infinity],
    [
      "version 1",
      {
        "/proc/self/cgroup": "4:cpu,cpuacct:/\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "25000\n",
        "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
      },
      0.25,
    ],
    [
      "version 1, no quota",
      { "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n" },
      Infinity,
    ],
    ["invalid files", { "/proc/self/cgroup": "?", "/sys/fs/cgroup/cpu.max": "a lot" }, Infinity],
  ])("reads the quota of %s", (_, texts, quota) => {
    expect(processorQuota(files(texts))).toBe(quota);
  });

  it("reads the quota of this machine", () => {
    expect(processorQuota()).toBeGreaterThan(0);
  });
});

describe("heap usage", () => {
  it("is the heap that remains after a full collection, as a share of its limit", async () => {
    const script = `
      const { heapUsage } = require("sluicegate/load");
      const { setTimeout: sleep } = require("node:timers/promises");
      const signal = heapUsage();
      signal.start();
      const before = signal.read();
      const kept = Array.from({ length: 2_000_000 }, (_, at) => ({ at }));
      (async () => {
        await sleep(10);
        gc();
        await sleep(50);
        const full = signal.read();
        kept.length = 0;
        gc();
        await sleep(50);
        console.log(JSON.stringify({ before, full, empty: signal.read() }));
        signal.stop();
      })();`;
    const flags = ["--expose-gc", "--max-old-space-size=256", "-e", script];
    const { stdout } = await run(process.execPath, flags, { cwd: inject("consumer") });
    const { before, full, empty } = JSON.parse(stdout) as Record<string, number>;
    expect(before).toBe(0);
    expect(full).toBeGreaterThan(0.15);
    expect(full).toBeLessThan(1);
    expect(empty).toBeLessThan(full! / 2);
  });

  it("is 0 if there was no collection for half a minute", () => {
    expect(start(heapUsage()).read()).toBe(0);
  });

  it("uses the smaller limit, and ignores a limit above the memory of the machine", () => {
    const own = getHeapStatistics().heap_size_limit;
    expect(heapLimit(0, totalmem())).toBe(own);
    expect(heapLimit(18446744073709552000, totalmem())).toBe(own);
    expect(heapLimit(1024, totalmem())).toBe(1024);
  });
});

it.each([
  [() => eventLoopUtilization({ high: 0.5 }), "Expected `eventLoopUtilization.high` to be a finite number above `low`"],
  [() => cpuUsage({ low: "1" as never }), "Expected `cpuUsage.low` to be a number"],
  [() => heapUsage({ hi: 1 } as never), "Expected `hi` to be one of the options low, high"],
])("a signal rejects invalid options", (make, message) => {
  expect(make).toThrow(message);
});

describe("the default LoadMonitor in a separate process", () => {
  const program = (body: string) => `
    const { AdaptiveRateLimiter } = require("sluicegate");
    const { LoadMonitor } = require("sluicegate/load");
    const load = new LoadMonitor();
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    ${body}`;

  it("does not keep the process alive", async () => {
    const { stdout } = await run(process.execPath, ["-e", program("console.log(limiter.maxCalls)")], {
      cwd: inject("consumer"),
      timeout: 20_000,
    });
    expect(stdout.trim()).toBe("10");
  });

  it("reduces the limit while the loop is saturated, restores it afterwards, and prints no warning", async () => {
    const body = `
      const spin = (ms) => { const until = performance.now() + ms; while (performance.now() < until); };
      const saturate = (until, then) => {
        if (performance.now() > until) return then();
        spin(2);
        setImmediate(saturate, until, then);
      };
      saturate(performance.now() + 2000, () => {
        const reduced = load.factor;
        setTimeout(() => console.log(JSON.stringify({ reduced, signals: load.state.signals.length, factor: load.factor })), 6000);
      });`;
    const { stdout, stderr } = await run(process.execPath, ["-e", program(body)], { cwd: inject("consumer") });
    const { reduced, signals, factor } = JSON.parse(stdout) as Record<string, number>;
    expect(reduced).toBeLessThan(0.8);
    expect(signals).toBe(3);
    expect(factor).toBe(1);
    expect(stderr).toBe("");
  });
});
