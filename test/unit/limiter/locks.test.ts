import { describe, expect, it } from "vitest";
import {
  AdaptiveRateLimiter,
  allOf,
  AsyncRateLimiter,
  DOSProtectionLimiter,
  type Duration,
  LayeredRateLimiter,
  type LimiterOptions,
  MemoryEfficientRateLimiter,
  MemoryStore,
  rateLimited,
  StoreError,
  TieredRateLimiter,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { asyncStore } from "../../support/async-store.js";
import { coded } from "../../support/coded.js";

const MINUTE = 60_000;

/** Lets every promise that can settle settle. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Two calls a minute; a lock of a minute, then of five. */
function loginGuard(options: LimiterOptions<string> = {}) {
  const clock = new ManualClock();
  const limiter = new AsyncRateLimiter({
    maxCalls: 2,
    period: "1m",
    lockFor: ["1m", "5m"],
    forgetAfter: "1h",
    bypass: false,
    clock,
    ...options,
  } as LimiterOptions<string> & { maxCalls: number; period: Duration });
  const refuse = async (key: string = "ada") => {
    let decision = await limiter.check(key);
    while (decision.refusedBy === null) decision = await limiter.check(key);
    return decision;
  };
  return { clock, limiter, refuse };
}

describe("a limiter with lockFor", () => {
  it("locks a key by the refusal that finds no lock, and refuses all later calls of the key", async () => {
    const { clock, limiter, refuse } = loginGuard();
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, lockedForMs: 0, strikes: 0 });
    clock.advance("30s");
    expect(await refuse()).toMatchObject({
      allowed: false,
      reason: "Rate limit exceeded",
      refusedBy: "limit",
      remaining: 0,
      retryAfterMs: MINUTE,
      lockedForMs: MINUTE,
      strikes: 1,
      layers: [{ retryAfterMs: 30_000 }],
    });
    clock.advance("45s");
    // The window allows one call, and the key is locked.
    const locked = { allowed: false, reason: "Locked", refusedBy: "lock", remaining: 0, retryAfterMs: 15_000 };
    expect(await limiter.check("ada")).toMatchObject({ ...locked, lockedForMs: 15_000, strikes: 1 });
    expect(await limiter.peek("ada")).toMatchObject({ ...locked, layers: [{ remaining: 1, retryAfterMs: 0 }] });
    expect(await limiter.isAllowed("ada")).toBe(false);
    expect(await limiter.isAllowed("ben")).toBe(true);
    clock.advance("15s");
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, lockedForMs: 0, strikes: 1 });
  });

  it("climbs the ladder, whose last step repeats, and forgets strikes counted from the end of the latest lock", async () => {
    const { clock, limiter, refuse } = loginGuard();
    const locks: number[] = [];
    for (let time = 0; time < 3; time += 1) {
      const { lockedForMs, strikes } = await refuse();
      locks.push(strikes, lockedForMs);
      clock.set(clock.now() + lockedForMs);
    }
    expect(locks).toEqual([1, MINUTE, 2, 5 * MINUTE, 3, 5 * MINUTE]);
    clock.set(clock.now() + 60 * MINUTE - 1);
    expect((await limiter.state("ada")).strikes).toBe(3);
    expect(await limiter.peek("ada")).toMatchObject({ strikes: 3 });
    clock.set(clock.now() + 1);
    expect(await limiter.state("ada")).toMatchObject({ calls: 0, lockedForMs: 0, strikes: 0, lockedUntil: null });
    expect(await refuse()).toMatchObject({ strikes: 1, lockedForMs: MINUTE });
  });

  it("locks at least until the limits allow the refused call", async () => {
    const { clock, limiter } = loginGuard();
    await limiter.check("ada");
    await limiter.check("ada");
    clock.advance("10s");
    const short = new AsyncRateLimiter({ maxCalls: 1, period: "1h", lockFor: "1m", clock, bypass: false });
    await short.check("ada");
    clock.advance("10m");
    expect(await short.check("ada")).toMatchObject({ retryAfterMs: 50 * MINUTE, lockedForMs: 50 * MINUTE });
  });

  it("strikes neither by peek, acquire, a cost above maxCalls, nor a maxCalls of 0", async () => {
    const { limiter } = loginGuard();
    await limiter.check("ada", { cost: 2 });
    await limiter.peek("ada");
    await limiter.check("ada", { cost: 3 });
    await limiter.isAllowed("ada", { maxCalls: 0 });
    await expect(limiter.acquire("ada", { timeout: "1s" })).rejects.toMatchObject({ waitFailedBy: "timeout" });
    await expect(limiter.acquire("ada", { maxQueue: 0 })).rejects.toMatchObject({ waitFailedBy: "queue-full" });
    expect(await limiter.state("ada")).toMatchObject({ calls: 2, strikes: 0, lockedUntil: null });
    expect(await limiter.isAllowed("ada")).toBe(false);
    expect(await limiter.state("ada")).toMatchObject({ strikes: 1, lockedUntil: MINUTE });
  });

  it("strikes only where the limit without load refuses as well", async () => {
    const clock = new ManualClock();
    const limiter = new AdaptiveRateLimiter({ baseMaxCalls: 4, period: "1m", lockFor: "5m", clock, bypass: false });
    limiter.adjustForLoad(0.9, 0);
    await limiter.check("ada", { cost: 2 });
    const byLoad = { refusedBy: "load", lockedForMs: 0, strikes: 0 };
    expect(await limiter.check("ada")).toMatchObject({ ...byLoad, retryAfterMs: MINUTE });
    expect(await limiter.check("ada", { maxCalls: 3 })).toMatchObject(byLoad);
    // Its reduced limit never admits it; the full one would, later.
    expect(await limiter.check("ada", { cost: 3 })).toMatchObject({
      refusedBy: "limit",
      retryAfterMs: Infinity,
      lockedForMs: 5 * MINUTE,
      strikes: 1,
    });
  });

  it("keeps in shadow mode the locks that enforce mode would have, and allows every call", async () => {
    const { clock, limiter } = loginGuard({ mode: "shadow" });
    await limiter.check("ada", { cost: 2 });
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, shadowed: true, refusedBy: "limit", strikes: 1 });
    clock.advance("30s");
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, shadowed: true, refusedBy: "lock", strikes: 1 });
    expect(await limiter.isAllowed("ada")).toBe(true);
    expect((await limiter.state("ada")).calls).toBe(2);
  });

  it("has no lock in the decision of a bypassed call", async () => {
    const { limiter } = loginGuard({ bypass: () => true });
    await limiter.lock("ada", "1h");
    expect(await limiter.check("ada")).toMatchObject({ bypassed: true, lockedForMs: 0, strikes: 0 });
  });

  it("keeps the strikes of a key whose only call is refunded, and forgets them with reset", async () => {
    const { clock, limiter } = loginGuard();
    const first = await limiter.check("ada", { cost: 2 });
    await limiter.check("ada");
    expect(await limiter.refund(first)).toBe(true);
    expect(await limiter.state("ada")).toMatchObject({ calls: 0, lockedForMs: MINUTE, strikes: 1 });
    clock.advance("1m");
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, strikes: 1, remaining: 1 });
    expect(await limiter.refund(first)).toBe(false);
    await limiter.reset("ada");
    expect(await limiter.state("ada")).toMatchObject({ calls: 0, strikes: 0 });
  });

  it("works for a limiter of every kind", async () => {
    const options = { lockFor: "10m", bypass: false } as const;
    const limit = { maxCalls: 1, period: "1m" } as const;
    const tiered = new TieredRateLimiter({ tiers: { free: limit, paid: limit }, ...options });
    for (const limiter of [
      new LayeredRateLimiter({ limits: [{ name: "Burst", ...limit }], ...options }),
      new MemoryEfficientRateLimiter({ ...limit, ...options }),
      new DOSProtectionLimiter({ limits: [{ name: "Burst", ...limit }], ...options }),
      new AsyncRateLimiter({ ...limit, ...options, clock: new ManualClock() }),
      tiered.tier("free"),
    ]) {
      await limiter.check("ada");
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", lockedForMs: 600_000, strikes: 1 });
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", reason: "Locked" });
    }
    expect((await tiered.check("ada", "paid")).allowed).toBe(true);
    await tiered.lock("ada", "paid", "1h");
    expect([await tiered.isAllowed("ada", "paid"), await tiered.unlock("ada", "paid")]).toEqual([false, true]);
    expect(await tiered.state("ada", "free")).toMatchObject({ strikes: 1 });
  });

  it("throws through rateLimited a 429 with the whole wait", async () => {
    const { limiter } = loginGuard();
    const login = rateLimited(limiter, (email: string) => email)((email: string) => email);
    await login("ada");
    await login("ada");
    await expect(login("ada")).rejects.toMatchObject({ status: 429, retryAfter: 60, message: /^Rate limit exceeded/ });
    await limiter.lock("ada", "1h");
    await expect(login("ada")).rejects.toThrow("Locked: retry after 3600 s");
  });

  it("writes whole locks into JSON", async () => {
    const { refuse } = loginGuard();
    expect(JSON.parse(JSON.stringify(await refuse()))).toMatchObject({ lockedForMs: MINUTE, strikes: 1 });
  });
});

describe("the options lockFor and forgetAfter", () => {
  const construct = (options: object) => () => new AsyncRateLimiter({ maxCalls: 1, period: "1m", ...options });

  it.each([
    [{ lockFor: 5 }, "lockFor"],
    [{ lockFor: null }, "lockFor"],
    [{ lockFor: ["1m", 5] }, "lockFor[1]"],
    [{ lockFor: new Array(1) }, "lockFor[0]"],
    [{ lockFor: "1m", forgetAfter: 5 }, "forgetAfter"],
    [{ forgetAfter: "1d" }, "forgetAfter"],
  ])("of %j are a TypeError", (options, name) => {
    expect(construct(options)).toThrow(TypeError);
    expect(construct(options)).toThrow(`Expected \`${name}\` to be`);
  });

  it.each([
    [{ lockFor: "0s" }, "lockFor"],
    [{ lockFor: [] }, "lockFor"],
    [{ lockFor: ["1m", "soon"] }, "lockFor[1]"],
    [{ lockFor: "1m", forgetAfter: "0d" }, "forgetAfter"],
  ])("of %j are a RangeError", (options, name) => {
    expect(construct(options)).toThrow(RangeError);
    expect(construct(options)).toThrow(`Expected \`${name}\` to be`);
  });

  it("need a store with locks, and leave the name free in any other", async () => {
    const store = asyncStore({ replace: () => ({ lock: undefined, unlock: undefined }) as object });
    const rule = "a store that can lock keys, with the methods `lock` and `unlock` of a namespace";
    const error = coded(new TypeError(`Expected \`store\` to be ${rule}, got \`[object Object]\` (object)`));
    expect(construct({ lockFor: "1m", store })).toThrow(error);
    const limiter = construct({ store })();
    await expect(limiter.lock("ada", "1m")).rejects.toThrow(error);
    await expect(limiter.unlock("ada")).rejects.toThrow(error);
  });
});

describe("lock", () => {
  it("locks a key for exactly the duration, with or without lockFor, and is no strike", async () => {
    for (const lockFor of [undefined, "5m" as const]) {
      const clock = new ManualClock();
      const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", lockFor, clock, bypass: false });
      await limiter.lock("ada", "10s");
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", lockedForMs: 10_000, strikes: 0 });
      clock.set(9999);
      expect(await limiter.isAllowed("ada")).toBe(false);
      clock.set(10_000);
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, remaining: 1, lockedForMs: 0, strikes: 0 });
      expect((await limiter.state("ada")).lockedUntil).toBe(null);
    }
  });

  it("replaces a lock, also by one that ends earlier, and keeps the strikes", async () => {
    const { limiter, refuse } = loginGuard();
    await refuse();
    await limiter.lock("ada", "1s");
    expect(await limiter.state("ada")).toMatchObject({ lockedForMs: 1000, strikes: 1, lockedUntil: 1000 });
    await limiter.lock("ada", "1d");
    expect(await limiter.state("ada")).toMatchObject({ lockedForMs: 86_400_000, strikes: 1 });
  });

  it("rejects an invalid key or duration, a closed limiter, and a key without room", async () => {
    const { limiter } = loginGuard({ store: new MemoryStore({ maxKeys: 1 }), clock: undefined });
    await expect(limiter.lock(undefined as never, "1s")).rejects.toThrow(TypeError);
    await expect(limiter.lock("ada", 5 as never)).rejects.toThrow(TypeError);
    await expect(limiter.lock("ada", "0s")).rejects.toThrow(RangeError);
    await limiter.lock("ada", "1h");
    await expect(limiter.lock("ben", "1h")).rejects.toThrow(StoreError);
    expect(await limiter.check("ben")).toMatchObject({ refusedBy: "capacity" });
    limiter.close();
    await expect(limiter.lock("ada", "1s")).rejects.toMatchObject({ code: "LIMITER_CLOSED" });
    await expect(limiter.unlock("ada")).rejects.toMatchObject({ code: "LIMITER_CLOSED" });
  });
});

describe("unlock, and a conditional reset", () => {
  it("removes the lock and the strikes, and keeps the calls", async () => {
    const { limiter, refuse } = loginGuard();
    await refuse();
    expect([await limiter.unlock("ada"), await limiter.unlock("ada"), await limiter.unlock("ben")]).toEqual([
      true,
      false,
      false,
    ]);
    expect(await limiter.state("ada")).toMatchObject({ calls: 2, lockedForMs: 0, strikes: 0, lockedUntil: null });
    expect(await limiter.check("ada")).toMatchObject({ refusedBy: "limit", strikes: 1 });
  });

  it("of an earlier lock leaves a newer one as it is", async () => {
    const { clock, limiter, refuse } = loginGuard();
    await refuse();
    const { lockedUntil } = await limiter.state("ada");
    clock.advance("1m");
    await refuse();
    expect(await limiter.unlock("ada", { lockedUntil })).toBe(false);
    expect(await limiter.unlock("ada", { lockedUntil: null })).toBe(false);
    await limiter.reset("ada", { lockedUntil });
    await limiter.reset("ada", { lockedUntil: null });
    expect(await limiter.state("ada")).toMatchObject({ calls: 2, strikes: 2 });
    await limiter.reset("ada", await stateOptions(limiter));
    expect(await limiter.state("ada")).toMatchObject({ calls: 0, strikes: 0, lockedUntil: null });
  });

  it("of a key without a lock forgets its calls only by reset", async () => {
    const { limiter } = loginGuard();
    await limiter.check("ada");
    expect(await limiter.unlock("ada", { lockedUntil: null })).toBe(false);
    expect((await limiter.state("ada")).calls).toBe(1);
    await limiter.reset("ada", { lockedUntil: 5 });
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("rejects an unknown option, and a lockedUntil that is no number", async () => {
    const { limiter } = loginGuard();
    for (const options of [{ until: 5 }, { lockedUntil: "5" }, null]) {
      await expect(limiter.unlock("ada", options as never)).rejects.toThrow(TypeError);
      await expect(limiter.reset("ada", options as never)).rejects.toThrow(TypeError);
    }
  });

  it("of every key is reset()", async () => {
    const { limiter, refuse } = loginGuard();
    await refuse("ada");
    await limiter.lock("ben", "1h");
    await limiter.reset();
    expect([await limiter.isAllowed("ada"), await limiter.isAllowed("ben")]).toEqual([true, true]);
  });
});

async function stateOptions(limiter: AsyncRateLimiter): Promise<{ lockedUntil: number | null }> {
  const { lockedUntil } = await limiter.state("ada");
  return { lockedUntil };
}

describe("acquire of a locked key", () => {
  it("waits until the lock ends", async () => {
    const { clock, limiter } = loginGuard();
    await limiter.lock("ada", "10m");
    const waiting = limiter.acquire("ada");
    await expect(limiter.acquire("ada", { timeout: "9m" })).rejects.toMatchObject({
      message: "Locked: retry after 600 s",
      decision: { refusedBy: "lock", lockedForMs: 600_000 },
    });
    await settled();
    clock.advance("10m");
    expect(await waiting).toMatchObject({ allowed: true, lockedForMs: 0 });
  });

  it.each(["unlock", "a shorter lock", "reset"])("is woken by %s", async (by) => {
    const { clock, limiter } = loginGuard();
    await limiter.lock("ada", "10m");
    const waiting = limiter.acquire("ada");
    await settled();
    clock.advance("1s");
    if (by === "unlock") await limiter.unlock("ada");
    else if (by === "reset") await limiter.reset("ada");
    else await limiter.lock("ada", "1ms");
    await settled();
    clock.advance("1ms");
    expect((await waiting).allowed).toBe(true);
  });
});

describe("allOf of limiters with lockFor", () => {
  const clock = new ManualClock();
  const guard = (maxCalls: number, mode: "enforce" | "shadow" = "enforce", store?: MemoryStore) =>
    new AsyncRateLimiter({
      ...{ maxCalls, period: "1m", lockFor: "5m", bypass: false, mode },
      ...(store === undefined ? { clock } : { store }),
    } as const);
  const strikesOf = (...limiters: AsyncRateLimiter[]) =>
    Promise.all(limiters.map(async (limiter) => (await limiter.state("ada")).strikes));

  it("locks only the first member that refuses, in listed order, and whichever was created first", async () => {
    const [ip, user] = [guard(1), guard(1)];
    const both = allOf({ user, ip });
    await both.check({ ip: "ada", user: "ada" });
    expect(await both.check({ ip: "ada", user: "ada" })).toMatchObject({
      allowed: false,
      members: { user: { refusedBy: "limit", strikes: 1 }, ip: { refusedBy: "limit", strikes: 0 } },
    });
    expect(await strikesOf(ip, user)).toEqual([0, 1]);
    expect(await both.check({ ip: "ada", user: "ada" })).toMatchObject({ member: "user", refusedBy: "lock" });
    expect(await strikesOf(ip, user)).toEqual([0, 1]);
  });

  it("is refused by a locked member, and charges and locks no other", async () => {
    const [ip, user] = [guard(1), guard(1)];
    const both = allOf({ ip, user });
    await ip.lock("ada", "1h");
    expect(await both.check({ ip: "ada", user: "ada" })).toMatchObject({
      allowed: false,
      member: "ip",
      refusedBy: "lock",
      members: { user: { allowed: true } },
    });
    expect((await user.state("ada")).calls).toBe(0);
    await user.check("ada");
    await both.check({ ip: "ada", user: "ada" });
    expect(await strikesOf(ip, user)).toEqual([0, 0]);
  });

  it("locks a member in shadow mode, if none before it refuses, and the first member that enforces", async () => {
    const [one, two, three] = [guard(0, "shadow"), guard(1, "shadow"), guard(1, "shadow")];
    const last = guard(1);
    for (const limiter of [two, three, last]) await limiter.check("ada");
    await allOf({ two, three, last }).check({ two: "ada", three: "ada", last: "ada" });
    expect(await strikesOf(two, three, last)).toEqual([1, 0, 1]);
    await last.reset("ada");
    // A cost above a maxCalls is a refusal, and no strike.
    expect(await allOf({ one, three, last }).check({ one: "ada", three: "ada", last: "ada" })).toMatchObject({
      allowed: true,
    });
    expect(await strikesOf(one, three)).toEqual([0, 0]);
  });

  it("locks no member behind one without room for its key", async () => {
    const store = new MemoryStore({ clock, maxKeys: 1 });
    const [full, user] = [guard(1, "enforce", store), guard(1)];
    await full.lock("eve", "1h");
    await user.check("ada");
    expect(await allOf({ full, user }).check({ full: "ada", user: "ada" })).toMatchObject({
      members: { full: { refusedBy: "capacity" }, user: { refusedBy: "limit", strikes: 0 } },
    });
    expect(await allOf({ user, full }).check({ full: "ada", user: "ada" })).toMatchObject({
      members: { user: { refusedBy: "limit", strikes: 1 } },
    });
  });
});

describe("a full MemoryStore", () => {
  it("never evicts a locked key, whose calls have expired or were never made", async () => {
    for (const onFull of ["evict", "deny"] as const) {
      const clock = new ManualClock();
      const store = new MemoryStore({ clock, maxKeys: 4, onFull });
      const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", lockFor: "1h", store, bypass: false });
      await limiter.lock("ben", "1h");
      await limiter.check("ada");
      await limiter.check("ada");
      for (let second = 0; second < 300; second += 1) {
        clock.advance("10s");
        await limiter.check(`flood ${second}`);
      }
      expect(await limiter.check("ada")).toMatchObject({ refusedBy: "lock", strikes: 1 });
      expect(await limiter.check("ben")).toMatchObject({ refusedBy: "lock", strikes: 0 });
      expect(store.evictions).toBe(0);
    }
  });

  it("keeps the strikes of an idle key until they are forgotten, or until there is no other room", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ clock, maxKeys: 100 });
    const options = { maxCalls: 1, period: "1m", lockFor: "1m", forgetAfter: "1h", store, bypass: false } as const;
    const limiter = new AsyncRateLimiter(options);
    const strike = async () => {
      await limiter.check("ada");
      await limiter.check("ada");
    };
    // Admissions make the store sweep.
    const other = new AsyncRateLimiter({ name: "other", maxCalls: 100, period: "1m", store, bypass: false });
    const sweep = () =>
      other.check("busy").then(() => Promise.all(Array.from({ length: 16 }, () => other.check("busy"))));
    await strike();
    clock.advance("30m");
    await sweep();
    expect([(await limiter.state("ada")).strikes, store.size]).toEqual([1, 2]);
    clock.advance("31m");
    await sweep();
    expect([(await limiter.state("ada")).strikes, store.size]).toEqual([0, 1]);
    await strike();
    clock.advance("30m");
    for (let key = 0; key < 100; key += 1) await limiter.check(`flood ${key}`);
    expect([(await limiter.state("ada")).strikes, store.evictions]).toEqual([0, 1]);
  });
});
