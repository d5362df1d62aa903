import { describe, expect, it } from "vitest";
import {
  AdaptiveRateLimiter,
  AsyncRateLimiter,
  LayeredRateLimiter,
  MemoryStore,
  rateLimited,
  type Store,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { block, Releases } from "./releases.js";
import { asyncStore } from "../../support/async-store.js";

// Upper bounds only: on a slow machine callers continue later, and never closer together.
const limit = { maxCalls: 18, period: "100ms", bypass: false } as const;

/** Starts `calls` calls in one synchronous loop, and ends the others when `enough` have continued. */
async function release(
  calls: number,
  enough: number,
  start: (call: number, signal: AbortSignal) => Promise<unknown>,
): Promise<void> {
  const stop = new AbortController();
  let left = enough;
  await new Promise<void>((resolve) => {
    for (let call = 0; call < calls; call += 1) {
      start(call, stop.signal).then(
        () => {
          left -= 1;
          if (left === 0) resolve();
        },
        () => undefined,
      );
    }
  });
  stop.abort();
}

describe("callers of acquire continue no faster than the limit", () => {
  it("when 30,000 calls join in one loop", async () => {
    const limiter = new AsyncRateLimiter(limit);
    const releases = new Releases();
    await release(30_000, 90, async (_, signal) => {
      await limiter.acquire("api", { signal, maxQueue: Infinity });
      releases.add();
    });
    expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("when 30,000 calls of a wrapped function join in one loop", async () => {
    const limiter = new AsyncRateLimiter(limit);
    const releases = new Releases();
    const call = rateLimited(limiter, async () => "api", { wait: { maxQueue: Infinity } })(() => releases.add());
    await release(30_000, 90, () => call());
    limiter.close();
    expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("when the loop that joins is blocked for longer than the window, before and after", async () => {
    const limiter = new AsyncRateLimiter(limit);
    const releases = new Releases();
    await release(120, 72, async (call, signal) => {
      if (call === 40) block(150);
      await limiter.acquire("api", { signal });
      releases.add();
      if (releases.count === 18) block(150);
    });
    expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("when every caller blocks", async () => {
    const limiter = new AsyncRateLimiter({ ...limit, maxCalls: 3 });
    const releases = new Releases();
    await release(20, 12, async (_, signal) => {
      await limiter.acquire("api", { signal });
      releases.add();
      block(20);
    });
    expect(releases.most(100)).toBeLessThanOrEqual(3);
  });

  it("with several limiters, keys and costs, through microtasks of others", async () => {
    const store = new MemoryStore();
    const limiters = ["a", "b", "c"].map((name) => new AsyncRateLimiter({ ...limit, store, clock: undefined, name }));
    const logs = limiters.flatMap((limiter, at) =>
      ["x", "y"].map((key) => ({ limiter, key: `${key}${at}`, releases: new Releases() })),
    );
    const busy = async (): Promise<void> => {
      for (let turn = 0; turn < 200; turn += 1) {
        block(0.2);
        await undefined;
      }
    };
    await release(3000, 240, async (call, signal) => {
      if (call % 500 === 0) void busy();
      const { limiter, key, releases } = logs[call % logs.length]!;
      const cost = 1 + (call % 4);
      await limiter.acquire(key, { cost, signal });
      releases.add(cost);
    });
    for (const { releases } of logs) expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("with several layers", async () => {
    const limiter = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 5, period: "20ms" },
        { name: "Sustained", maxCalls: 12, period: "100ms" },
      ],
      bypass: false,
    });
    const releases = new Releases();
    await release(1000, 40, async (_, signal) => {
      await limiter.acquire("api", { signal });
      releases.add();
    });
    expect(releases.most(20)).toBeLessThanOrEqual(5);
    expect(releases.most(100)).toBeLessThanOrEqual(12);
  });

  it("while an adaptive limit falls and rises", async () => {
    const limiter = new AdaptiveRateLimiter({
      baseMaxCalls: 20,
      period: "100ms",
      bypass: false,
      curve: ({ cpuUsage }) => 1 - cpuUsage,
    });
    limiter.adjustForLoad(0.5, 0);
    const half = new Releases();
    const full = new Releases();
    await release(1000, 100, async (_, signal) => {
      await limiter.acquire("api", { signal });
      if (full.count < 30) half.add();
      full.add();
      if (full.count === 30) limiter.adjustForLoad(0, 0);
    });
    expect(half.most(100)).toBeLessThanOrEqual(10);
    expect(full.most(100)).toBeLessThanOrEqual(20);
  });

  it("when calls leave between their decision and their release", async () => {
    const limiter = new AsyncRateLimiter({ ...limit, store: delayed(() => 1), clock: undefined });
    const releases = new Releases();
    await release(400, 60, async (call, signal) => {
      const own = new AbortController();
      if (call % 3 === 0) setTimeout(() => own.abort(), call % 50);
      await limiter.acquire("api", { signal: AbortSignal.any([signal, own.signal]) });
      releases.add();
    });
    expect(releases.most(100)).toBeLessThanOrEqual(18);
  });

  it("when the decisions of the store arrive late, by times that differ", async () => {
    const limiter = new AsyncRateLimiter({
      ...limit,
      maxCalls: 3,
      store: delayed((call) => (call * 7) % 30),
      clock: undefined,
    });
    const releases = new Releases();
    for (let call = 0; call < 20; call += 1) {
      await limiter.acquire("api");
      releases.add();
    }
    expect(releases.most(100)).toBeLessThanOrEqual(3);
  });

  it("and refunded calls make room at once, also when the decisions of the store arrive late", async () => {
    const limiter = new AsyncRateLimiter({
      ...limit,
      maxCalls: 1,
      period: "1h",
      store: delayed(() => 2),
      clock: undefined,
    });
    const { signal } = new AbortController();
    for (let call = 0; call < 5; call += 1) await limiter.refund(await limiter.acquire("api", { signal }));
    await limiter.acquire("api");
    await limiter.reset("api");
    await limiter.acquire("api");
    expect((await limiter.state("api")).calls).toBe(1);
  });

  it("and a refunded call makes room at once, when time has passed before its caller continued", async () => {
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", bypass: false, clock });
    const decision = await limiter.acquire("api");
    clock.advance("5ms");
    // The release is logged again 5 ms later, a few microtasks after the caller has continued.
    await new Promise((resolve) => setImmediate(resolve));
    await limiter.refund(decision);
    expect((await limiter.acquire("api", { maxQueue: 0 })).allowed).toBe(true);
  });
});

describe("30,000 waiters that a raised limit admits", () => {
  it("leave turns of the event loop to others", async () => {
    const limiter = new AdaptiveRateLimiter({
      baseMaxCalls: 40_000,
      period: "1h",
      bypass: false,
      curve: ({ cpuUsage }) => cpuUsage,
    });
    limiter.adjustForLoad(0, 0);
    await limiter.acquire("api");
    const waits = Array.from({ length: 30_000 }, () => limiter.acquire("api", { maxQueue: Infinity }));
    let turns = 0;
    const timer = setInterval(() => (turns += 1), 1);
    limiter.adjustForLoad(1, 0);
    await Promise.all(waits);
    clearInterval(timer);
    // They take some hundred milliseconds.
    expect(turns).toBeGreaterThanOrEqual(10);
  });
});

describe("a queue of 50,000 waiters", () => {
  // A linear search for each would take many seconds.
  const COUNT = 50_000;
  const CPU_SECONDS = 4;

  async function cpuSeconds(run: () => unknown): Promise<number> {
    const before = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
  }

  async function fullLimiter(): Promise<AsyncRateLimiter> {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", bypass: false });
    await limiter.isAllowed("api");
    return limiter;
  }

  const settle = (waits: readonly Promise<unknown>[]): Promise<unknown> => Promise.allSettled(waits);

  it("is joined with timeouts, and expires, in little time", async () => {
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1h", bypass: false, clock });
    await limiter.isAllowed("api");
    // A call of the others would be admitted now, but not before the first one, which waits for an hour.
    const first = limiter.acquire("api", { cost: 2 });
    const spent = await cpuSeconds(async () => {
      const waits = Array.from({ length: COUNT }, (_, call) =>
        limiter.acquire("api", { timeout: `${10_000 - (call % 7)}ms`, maxQueue: Infinity }),
      );
      // Behind all of them.
      await limiter.acquire("api", { timeout: "0ms", maxQueue: Infinity }).catch(() => undefined);
      clock.advance("10s");
      await settle(waits);
    });
    expect(spent).toBeLessThan(CPU_SECONDS);
    clock.advance("1h");
    await first;
  });

  it("is left from the back in little time", async () => {
    const limiter = await fullLimiter();
    const spent = await cpuSeconds(async () => {
      const controllers = Array.from({ length: COUNT }, () => new AbortController());
      const waits = controllers.map(({ signal }) =>
        limiter.acquire("api", { signal, timeout: "2h", maxQueue: Infinity }),
      );
      for (const controller of controllers.reverse()) controller.abort();
      await settle(waits);
    });
    expect(spent).toBeLessThan(CPU_SECONDS);
  });

  it("is left together by one signal in little time", async () => {
    const limiter = await fullLimiter();
    const controller = new AbortController();
    const { signal } = controller;
    const spent = await cpuSeconds(async () => {
      const waits = Array.from({ length: COUNT }, () => limiter.acquire("api", { signal, maxQueue: Infinity }));
      await limiter.peek("api");
      controller.abort();
      await settle(waits);
    });
    expect(spent).toBeLessThan(CPU_SECONDS);
  });
});

/** A store in memory whose decisions arrive some milliseconds after they are made. */
function delayed(delayMs: (call: number) => number): Store {
  let calls = 0;
  const later = <R>(decide: () => R): Promise<R> => {
    const value = decide();
    return new Promise((resolve) => {
      setTimeout(() => resolve(value), delayMs((calls += 1)));
    });
  };
  return asyncStore({ later });
}
