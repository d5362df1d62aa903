import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, it } from "vitest";
import {
  AdaptiveRateLimiter,
  allOf,
  AsyncRateLimiter,
  DOSProtectionLimiter,
  LayeredRateLimiter,
  LimiterClosedError,
  MemoryEfficientRateLimiter,
  MemoryStore,
  type RateLimiter,
  RateLimitExceededError,
  type AsyncStore,
  type Store,
  StoreError,
  TieredRateLimiter,
  USER_TIERS,
} from "../../../src/index.js";
import type { Send } from "../../../src/redis/index.js";
import { RedisRateLimiter, RedisStore } from "../../../src/redis/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { asyncStore } from "../../support/async-store.js";

const minute = { maxCalls: 2, period: "1m", bypass: false } as const;

/** The clients of the tests whose Redis is never reached. */
const unreachable: Send = () => Promise.reject(new Error("ECONNREFUSED"));

const closedError: unknown = expect.objectContaining({
  name: "LimiterClosedError",
  code: "LIMITER_CLOSED",
  status: 503,
  statusCode: 503,
});

describe.each<[string, () => RateLimiter]>([
  ["AsyncRateLimiter", () => new AsyncRateLimiter(minute)],
  ["LayeredRateLimiter", () => new LayeredRateLimiter({ limits: [{ name: "a", maxCalls: 1, period: 1 }] })],
  ["DOSProtectionLimiter", () => new DOSProtectionLimiter()],
  ["AdaptiveRateLimiter", () => new AdaptiveRateLimiter({ baseMaxCalls: 1, period: 1 })],
  ["MemoryEfficientRateLimiter", () => new MemoryEfficientRateLimiter(minute)],
  ["RedisRateLimiter", () => new RedisRateLimiter({ maxCalls: 1, period: 1, client: unreachable })],
  ["limiter of one tier", () => new TieredRateLimiter({ tiers: USER_TIERS }).tier("free")],
  ["AsyncRateLimiter that bypasses every key", () => new AsyncRateLimiter({ ...minute, bypass: () => true })],
  ["AsyncRateLimiter in shadow mode", () => new AsyncRateLimiter({ ...minute, mode: "shadow" })],
])("a closed %s", (_, open) => {
  it("rejects every call with a LimiterClosedError that names it, however often it is closed", async () => {
    const limiter = open();
    limiter.close();
    limiter.close();
    const calls = [
      limiter.isAllowed("ada"),
      limiter.check("ada"),
      limiter.peek("ada"),
      limiter.acquire("ada"),
      limiter.state("ada"),
      limiter.reset(),
      limiter.reset("ada"),
      allOf({ limiter }).check({ limiter: "ada" }),
    ];
    for (const call of calls) await expect(call).rejects.toEqual(closedError);
    if (limiter.synchronous) expect(() => limiter.checkSync("ada")).toThrow(LimiterClosedError);
    await expect(limiter.check("ada")).rejects.toThrow(`The limiter \`${limiter.name}\` is closed`);
    expect(limiter.limits.length).toBeGreaterThan(0);
  });
});

describe("close", () => {
  it("rejects calls that wait in acquire, of every key, and leaves no timer", async () => {
    const clock = new ManualClock();
    let timers = 0;
    const counting = {
      now: () => clock.now(),
      wake: (afterMs: number, run: () => void) => {
        timers += 1;
        const cancel = clock.wake(afterMs, () => {
          timers -= 1;
          run();
        });
        return () => {
          timers -= 1;
          cancel();
        };
      },
    };
    const limiter = new AsyncRateLimiter({ ...minute, clock: counting });
    for (const key of ["ada", "ben"]) await limiter.check(key, { cost: 2 });
    const waiting = ["ada", "ada", "ben"].map((key) => limiter.acquire(key, { timeout: "1h" }));
    // The timers are set in microtasks.
    await new Promise((resolve) => setImmediate(resolve));
    expect(timers).toBe(2);
    limiter.close();
    for (const waiter of waiting) await expect(waiter).rejects.toEqual(closedError);
    expect(timers).toBe(0);
  });

  it("releases the name: it can be opened again with other periods, and its log is empty", async () => {
    const store = new MemoryStore();
    const first = new AsyncRateLimiter({ ...minute, name: "login", store });
    const other = new AsyncRateLimiter({ ...minute, name: "other", store });
    await first.check("ada", { cost: 2 });
    await other.check("ada");
    first.close();
    expect(store.size).toBe(1);
    const second = new AsyncRateLimiter({ maxCalls: 3, period: "1s", name: "login", store });
    expect((await second.check("ada")).remaining).toBe(2);
    expect((await other.peek("ada")).remaining).toBe(1);
    first.close();
    expect(() => new AsyncRateLimiter({ ...minute, name: "login", store })).toThrow(RangeError);
  });

  it("leaves a refund of an earlier decision nothing to take back, also from the next limiter of that name", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const first = new AsyncRateLimiter({ ...minute, store });
    const decision = await first.check("ada");
    first.close();
    const second = new AsyncRateLimiter({ ...minute, store });
    await second.check("ada");
    expect([await first.refund(decision), await second.refund(decision)]).toEqual([false, false]);
    expect((await second.state("ada")).calls).toBe(1);
  });

  it("frees the store that the limiter made for itself", async () => {
    const limiter = new MemoryEfficientRateLimiter({ ...minute, maxKeys: 100 });
    for (let key = 0; key < 100; key += 1) await limiter.check(String(key));
    expect(limiter.size).toBe(100);
    limiter.close();
    expect(limiter.size).toBe(0);
  });

  it("is refused to the clock of the store, and the limiter stays open", async () => {
    let closes = true;
    const clock = {
      now: (): number => {
        if (closes) limiter.close();
        return 0;
      },
    };
    const limiter: AsyncRateLimiter = new AsyncRateLimiter({ ...minute, clock });
    await expect(limiter.check("ada")).rejects.toThrow(StoreError);
    closes = false;
    expect((await limiter.check("ada")).remaining).toBe(1);
  });

  it("stops an adaptive limiter from listening to its load source", () => {
    const listeners = new Set<unknown>();
    const load = {
      factor: 1,
      intervalMs: 25,
      report: () => undefined,
      listen: (listener: unknown) => {
        listeners.add(listener);
        return () => void listeners.delete(listener);
      },
    };
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 10, period: 1, load });
    expect(listeners.size).toBe(1);
    limiter.close();
    limiter.close();
    expect(listeners.size).toBe(0);
  });

  it("of a TieredRateLimiter closes every tier, and its names can be opened again", async () => {
    const store = new MemoryStore();
    const tiered = new TieredRateLimiter({ tiers: USER_TIERS, store });
    tiered.close();
    tiered.close();
    for (const tier of ["free", "premium", "enterprise"] as const) {
      await expect(tiered.check("ada", tier)).rejects.toEqual(closedError);
      await expect(tiered.acquire("ada", tier)).rejects.toEqual(closedError);
      expect(() => tiered.checkSync("ada", tier)).toThrow(LimiterClosedError);
    }
    await expect(tiered.reset("ada")).rejects.toEqual(closedError);
    expect(new TieredRateLimiter({ tiers: USER_TIERS, store }).checkSync("ada", "free").allowed).toBe(true);
  });

  it("reaches a limiter that HTTP or a wrapper calls as an error, and never as a refusal", async () => {
    const limiter = new AsyncRateLimiter(minute);
    limiter.close();
    const error: unknown = await limiter.check("ada").catch((reason: unknown) => reason);
    expect(error).not.toBeInstanceOf(RateLimitExceededError);
    expect(error).not.toBeInstanceOf(StoreError);
  });
});

describe("a TieredRateLimiter that finds the name of its second tier taken", () => {
  it("releases the name of the first", () => {
    const store = new MemoryStore();
    new AsyncRateLimiter({ ...minute, name: "users/premium", store });
    expect(() => new TieredRateLimiter({ tiers: USER_TIERS, name: "users", store })).toThrow(RangeError);
    expect(() => new AsyncRateLimiter({ ...minute, name: "users/free", store })).not.toThrow();
  });
});

describe("allOf over a closed member", () => {
  /** A store that decides in a later turn, so that members are consulted one after another. */
  const late = (): AsyncStore =>
    asyncStore({
      later: (decide) => new Promise((resolve) => setImmediate(() => resolve(decide()))),
    });

  it.each([
    ["memory", (): Store => new MemoryStore()],
    ["an asynchronous store", late],
  ])("rejects and counts in none, over %s", async (_, store) => {
    const heard: string[] = [];
    const open = new AsyncRateLimiter({ ...minute, store: store(), onDecision: () => heard.push("open") });
    const closed = new AsyncRateLimiter({ ...minute, store: store() });
    const both = allOf({ open, closed });
    closed.close();
    await expect(both.check({ open: "ada", closed: "ada" })).rejects.toEqual(closedError);
    await expect(both.isAllowed({ open: "ada", closed: "ada" })).rejects.toEqual(closedError);
    expect((await open.state("ada")).calls).toBe(0);
    expect(heard).toEqual([]);
    expect((await both.check({ open: "ada", closed: null })).allowed).toBe(true);
  });

  it("takes back what was counted when a member is closed during the call", async () => {
    const store = late();
    const first = new AsyncRateLimiter({ ...minute, name: "first", store });
    const second = new AsyncRateLimiter({ ...minute, name: "second", store });
    const call = allOf({ first, second }).check({ first: "ada", second: "ada" });
    second.close();
    await expect(call).rejects.toEqual(closedError);
    expect((await first.state("ada")).calls).toBe(0);
  });

  it("rejects when the bypass of a later member closes an earlier one", async () => {
    const first = new AsyncRateLimiter(minute);
    const second = new AsyncRateLimiter({
      ...minute,
      bypass: () => {
        first.close();
        return false;
      },
    });
    await expect(allOf({ first, second }).check({ first: "ada", second: "ada" })).rejects.toEqual(closedError);
    expect((await second.state("ada")).calls).toBe(0);
  });
});

describe("a call that reaches a space of memory after it was closed", () => {
  it("leaves nothing in the store, and a second close releases no name", async () => {
    const store = new MemoryStore({ maxKeys: 2, onFull: "deny" });
    const space = store.open("login", [1000]);
    space.close();
    for (const key of ["ada", "ben", "eve"]) space.admit(key, [{ maxCalls: 1, periodMs: 1000 }], 1);
    expect(store.size).toBe(0);
    const next = new AsyncRateLimiter({ ...minute, name: "login", store });
    space.close();
    expect(() => store.open("login", [1000])).toThrow(RangeError);
    expect([await next.isAllowed("ada"), await next.isAllowed("ben"), await next.isAllowed("eve")]).toEqual([
      true,
      true,
      false,
    ]);
  });
});

describe("keys of the spaces that stay open", () => {
  it("are reclaimed, and found room for, whatever spaces are closed between them", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock, maxKeys: 40 });
    const open = (name: string): AsyncRateLimiter => new AsyncRateLimiter({ ...minute, name, store });
    const spaces = ["a", "b", "c", "d"].map(open);
    for (let key = 0; key < 10; key += 1) for (const space of spaces) await space.check(String(key));
    spaces[1]!.close();
    spaces[3]!.close();
    expect(store.size).toBe(20);
    expect(await spaces[2]!.state("3")).toMatchObject({ calls: 1 });
    clock.advance("61s");
    for (let key = 0; key < 30; key += 1) await spaces[0]!.check(`new ${String(key)}`);
    expect(store.size).toBe(30);
    expect(store.evictions).toBe(0);
    for (let key = 0; key < 20; key += 1) await open(`once ${String(key)}`).check("ada");
    expect(store.size).toBeLessThanOrEqual(40);
  });
});

describe("100,000 limiters opened and closed on one store", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const heldMb = async (openAndClose: (name: string) => Promise<void>): Promise<number> => {
    const run = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at += 1) await openAndClose(`limiter ${String(at)}`);
    };
    const heap = (): number => {
      collect();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    };
    await run(0, 2000);
    const before = heap();
    await run(2000, 102_000);
    return (heap() - before) / 2 ** 20;
  };

  it("leave nothing in memory", async () => {
    const store = new MemoryStore();
    const open = (name: string): AsyncRateLimiter => new AsyncRateLimiter({ ...minute, name, store });
    const stays = open("stays");
    await stays.check("ada");
    const held = await heldMb(async (name) => {
      const limiter = open(name);
      limiter.checkSync("ada");
      limiter.close();
    });
    // 100,000 names alone are 3 MB.
    expect(held).toBeLessThan(1);
    expect(store.size).toBe(1);
    expect((await stays.check("ada")).remaining).toBe(0);
  });

  it("leave nothing in a RedisStore if Redis replies", async () => {
    const whenDown = new MemoryStore();
    const store = new RedisStore({ client: async () => 1, whenDown });
    const held = await heldMb(async (name) => {
      const limiter = new AsyncRateLimiter({ ...minute, name, store });
      await limiter.isAllowed("ada");
      limiter.close();
    });
    expect(held).toBeLessThan(1);
    expect(whenDown.size).toBe(0);
  });

  it("leave the calls of the last 10,000 names in the store of `whenDown` during an outage", async () => {
    const whenDown = new MemoryStore();
    const store = new RedisStore({ client: unreachable, whenDown, onStoreError: () => undefined });
    for (let name = 0; name < 10_500; name += 1) {
      const limiter = new AsyncRateLimiter({ ...minute, name: String(name), store });
      await limiter.check("ada");
      limiter.close();
    }
    expect(whenDown.size).toBe(10_000);
  });
});
