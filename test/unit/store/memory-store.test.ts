import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allOf, AsyncRateLimiter, type Clock, type Limit, MemoryStore, StoreError } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { AnyLimiter } from "../../support/model-run.js";
import { InspectableNamespace } from "../../support/inspectable-namespace.js";
import { coded } from "../../support/coded.js";

const perMinute = (maxCalls: number): Limit[] => [{ maxCalls, periodMs: 60_000 }];

function cappedStore(maxKeys: number, onFull: "evict" | "deny" = "evict") {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxKeys, onFull });
  const limiter = (name: string, limits: readonly Limit[]) => new AnyLimiter(limits, { name, store, bypass: false });
  return { clock, store, limiter };
}

describe("the namespaces of a MemoryStore", () => {
  it("keep the same key of two limiters separate, also in reset()", async () => {
    const { store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(1));
    const search = limiter("search", perMinute(1));
    expect(await login.isAllowed("ada")).toBe(true);
    expect(await search.isAllowed("ada")).toBe(true);
    expect(store.size).toBe(2);
    await login.reset();
    expect(await login.isAllowed("ada")).toBe(true);
    expect(await search.isAllowed("ada")).toBe(false);
  });

  it("cannot be opened twice with the same name", () => {
    const store = new MemoryStore();
    new AsyncRateLimiter({ maxCalls: 1, period: 1, store });
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store })).toThrow(
      coded(
        new RangeError(
          "Expected `name` to be a name that no other limiter of this store has (without one it is `default`); give each its own, got `default` (string)",
        ),
      ),
    );
  });

  it("are not opened by a limiter with invalid options", () => {
    const store = new MemoryStore();
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store, bypass: true as unknown as false })).toThrow();
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store })).not.toThrow();
  });

  it.each([[[]], [[0]], [[1, NaN]], [[1.5]]])(
    "cannot be opened with the periods %j, which leaves the name free",
    (periods) => {
      const store = new MemoryStore();
      expect(() => store.open("login", periods)).toThrow(RangeError);
      expect(() => store.open("login", [1])).not.toThrow();
    },
  );

  it.each(["", "a:b", ":"])("cannot have the name %j", (name) => {
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, name })).toThrow(
      coded(new RangeError(`Expected \`name\` to be a non-empty string without \`:\`, got \`${name}\` (string)`)),
    );
  });
});

describe("the options of a MemoryStore", () => {
  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 23 + 1])("throw a RangeError if maxKeys is %d", (maxKeys) => {
    expect(() => new MemoryStore({ maxKeys })).toThrow(RangeError);
  });

  it.each([{ maxKeys: "10" }, { clock: {} }, { clock: Date.now }, { maxkeys: 10 }, null, [], 5])(
    "throw a TypeError for %j",
    (options) => {
      expect(() => new MemoryStore(options as object)).toThrow(TypeError);
    },
  );

  it("may have a maxKeys of 2^23, and undefined for any option", () => {
    expect(() => new MemoryStore({ maxKeys: 2 ** 23, clock: undefined })).not.toThrow();
    expect(() => new MemoryStore({ maxKeys: undefined })).not.toThrow();
  });
});

describe("a MemoryStore", () => {
  it("writes nothing for a refusal, a peek or a state, of a known or an unknown key", () => {
    const inspected = new InspectableNamespace(60_000);
    const limits = perMinute(2);
    inspected.namespace.check("ada", limits, 2);
    const before = inspected.contents();
    for (const key of ["ada", "unknown"]) {
      inspected.namespace.peek(key, limits, 1);
      inspected.namespace.peek(key, limits, 3);
      inspected.namespace.state(key);
      inspected.namespace.check(key, limits, 3);
      inspected.namespace.admit(key, limits, 3);
    }
    inspected.namespace.check("ada", limits, 1);
    expect(inspected.namespace.admit("ada", limits, 1)).toBe(false);
    expect(inspected.contents()).toEqual(before);
  });

  it("writes one timestamp for each unit of cost, whatever maxCalls is", () => {
    const inspected = new InspectableNamespace(60_000);
    inspected.namespace.check("once", perMinute(10_000), 1);
    inspected.namespace.check("twice", perMinute(10_000), 2);
    expect(inspected.contents().map(({ timestamps }) => timestamps)).toEqual([[0], [0, 0]]);
  });

  it("removes a key after reset(key), and after the refund of its only call", async () => {
    const { store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(3));
    await login.isAllowed("ada");
    await login.reset("ada");
    expect(store.size).toBe(0);
    const decision = await login.check("ada");
    expect(store.size).toBe(1);
    expect(await login.refund(decision)).toBe(true);
    expect(store.size).toBe(0);
    await login.reset("unused");
    expect(store.size).toBe(0);
  });

  it("keeps the calls of each key while others are added and removed", () => {
    const key = fc.integer({ min: 0, max: 15 }).map(String);
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 80 }), (steps) => {
        const inspected = new InspectableNamespace(1000);
        const calls = new Map<string, number>();
        for (const [name, adds] of steps) {
          if (adds) {
            inspected.namespace.check(name, perMinute(100), 1);
            calls.set(name, (calls.get(name) ?? 0) + 1);
          } else {
            inspected.namespace.reset(name);
            calls.delete(name);
          }
          expect(inspected.table.size).toBe(calls.size);
          for (const [other, count] of calls) expect(inspected.namespace.state(other).calls).toBe(count);
        }
      }),
    );
  });
});

describe("a hundred thousand keys in one namespace", () => {
  it("are counted separately while they call, call again, are reset and expire", async () => {
    const { clock, store, limiter } = cappedStore(200_000);
    const login = limiter("login", perMinute(2));
    const keys = Array.from({ length: 100_000 }, (_, at) => `user ${String(at)}`);
    const admittedOf = async (called: readonly string[]): Promise<number> => {
      let admitted = 0;
      for (const key of called) if (await login.isAllowed(key)) admitted += 1;
      return admitted;
    };
    expect(await admittedOf(keys)).toBe(100_000);
    clock.advance("30s");
    const some = keys.filter((_, at) => at % 3 === 0);
    expect([await admittedOf(some), await admittedOf(some)]).toEqual([some.length, 0]);
    for (const key of some) await login.reset(key);
    expect(store.size).toBe(keys.length - some.length);
    expect([await admittedOf(some), await admittedOf(keys)]).toEqual([some.length, 100_000]);
    clock.advance("30s");
    // The first calls of the keys that were not reset are a minute old.
    expect(await admittedOf(keys)).toBe(keys.length - some.length);
    clock.advance("2m");
    expect(await admittedOf(keys.slice(0, 60_000))).toBe(60_000);
    expect(store.size).toBeLessThan(70_000);
    expect(store.evictions).toBe(0);
  });
});

describe("idle keys", () => {
  it("are removed while calls are admitted, up to 24 at each eighth", async () => {
    const { clock, store, limiter } = cappedStore(1000);
    const login = limiter("login", perMinute(1000));
    for (let user = 0; user < 103; user += 1) await login.isAllowed(`user ${String(user)}`);
    clock.advance("59.999s");
    await login.isAllowed("ada");
    expect(store.size).toBe(104);
    clock.advance("1ms");
    const sizes: number[] = [];
    for (let call = 0; call < 48; call += 1) {
      await login.isAllowed("ada");
      sizes.push(store.size);
    }
    expect(Math.max(...sizes.map((size, at) => (sizes[at - 1] ?? 104) - size))).toBeLessThanOrEqual(24);
    expect(sizes.slice(0, 8)).toContain(104);
    expect(sizes.at(-1)).toBe(1);
    expect(store.evictions).toBe(0);
  });

  it("are removed in all namespaces by the calls of any, each after the longest period of its namespace", async () => {
    const { clock, store, limiter } = cappedStore(1000);
    const short = limiter("short", [{ maxCalls: 100, periodMs: 1000 }]);
    const long = limiter("long", perMinute(100));
    for (let user = 0; user < 20; user += 1) {
      await short.isAllowed(`user ${String(user)}`);
      await long.isAllowed(`user ${String(user)}`);
    }
    clock.advance("1s");
    for (let call = 0; call < 30; call += 1) await long.isAllowed("ada");
    expect(store.size).toBe(21);
  });

  it("are not removed by refused calls", async () => {
    const { clock, store, limiter } = cappedStore(1000);
    const login = limiter("login", perMinute(1));
    for (let user = 0; user < 10; user += 1) await login.isAllowed(`user ${String(user)}`);
    clock.advance("1m");
    for (let call = 0; call < 10; call += 1) {
      await login.check("ada", { cost: 2 });
      await login.isAllowed("ada", { cost: 2 });
    }
    expect(store.size).toBe(10);
  });

  it("are fewer than the others while new keys arrive continuously", async () => {
    const { clock, store, limiter } = cappedStore(1_000_000);
    const login = limiter("login", [{ maxCalls: 1, periodMs: 100 }]);
    // At any instant, 100 keys are not idle.
    let largest = 0;
    for (let user = 0; user < 100_000; user += 1) {
      await login.isAllowed(`user ${String(user)}`);
      clock.advance("1ms");
      largest = Math.max(largest, store.size);
    }
    expect(largest).toBeLessThan(200);
  });
});

describe("at the key cap, a known key", () => {
  it.each(["evict", "deny"] as const)("needs no room in any method if onFull is %s", async (onFull) => {
    const { store, limiter } = cappedStore(2, onFull);
    const login = limiter("login", perMinute(9));
    const search = limiter("search", perMinute(9));
    await login.isAllowed("ada");
    await search.isAllowed("ada");
    expect((await login.peek("ada")).allowed).toBe(true);
    expect(await login.isAllowed("ada")).toBe(true);
    expect((await login.check("ada")).allowed).toBe(true);
    expect((await allOf({ login, search }).check({ login: "ada", search: "ada" })).allowed).toBe(true);
    expect([store.size, store.evictions]).toEqual([2, 0]);
    expect([(await login.state("ada")).calls, (await search.state("ada")).calls]).toEqual([4, 2]);
  });
});

describe("at the key cap, a new key", () => {
  it("replaces an idle key, and no unexpired call is lost", async () => {
    const { clock, store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(3));
    for (let user = 0; user < 5; user += 1) await login.isAllowed(`old ${String(user)}`);
    clock.advance("30s");
    for (let user = 0; user < 5; user += 1) await login.isAllowed(`young ${String(user)}`);
    clock.advance("30s");
    expect(await login.isAllowed("new key")).toBe(true);
    expect(store.evictions).toBe(0);
    for (let user = 0; user < 5; user += 1) expect((await login.state(`young ${String(user)}`)).calls).toBe(1);
  });

  it("replaces the key with the fewest unexpired calls among the first eight below their limit", async () => {
    const { store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(9));
    const calls = [9, 5, 4, 3, 2, 6, 7, 8, 4, 1]; // The first is at its limit; the last is the ninth below it.
    for (const [user, cost] of calls.entries()) await login.check(`user ${String(user)}`, { cost });
    // The position of the search is unknown after the sweeps, but all ten keys are within the 32 that it visits.
    const before = await Promise.all(calls.map((_, user) => login.state(`user ${String(user)}`)));
    expect(await login.isAllowed("new key")).toBe(true);
    const after = await Promise.all(calls.map((_, user) => login.state(`user ${String(user)}`)));
    const evicted = after.flatMap(({ calls }, user) => (calls === 0 ? [before[user]?.calls ?? 0] : []));
    expect(evicted).toHaveLength(1);
    expect(evicted[0]).toBeLessThanOrEqual(2);
    expect(store.evictions).toBe(1);
    expect(store.size).toBe(10);
  });

  it("is refused while every key is at its limit, until the first of their calls expires", async () => {
    const { clock, store, limiter } = cappedStore(3);
    const login = limiter("login", perMinute(2));
    for (const user of ["a", "b", "c"]) {
      await login.check(user, { cost: 2 });
      clock.advance("1s");
    }
    const expected = {
      allowed: false,
      reason: "Key capacity exceeded",
      limit: { maxCalls: 2, periodMs: 60_000 },
      remaining: 0,
      retryAfterMs: 57_000,
      resetAfterMs: 0,
      layers: [
        { maxCalls: 2, periodMs: 60_000, remaining: 2, retryAfterMs: 0, moreAfterMs: Infinity, resetAfterMs: 0 },
      ],
    };
    expect(await login.peek("new key")).toMatchObject(expected);
    expect(await login.check("new key")).toMatchObject(expected);
    expect(await login.isAllowed("new key")).toBe(false);
    clock.set(clock.now() + 57_000 - 1);
    expect(await login.isAllowed("new key")).toBe(false);
    clock.advance("1ms");
    expect((await login.peek("new key")).allowed).toBe(true);
    expect(await login.isAllowed("new key")).toBe(true);
    expect(store.evictions).toBe(0);
    for (const user of ["b", "c"]) expect(await login.isAllowed(user)).toBe(false);
  });

  it("is refused by the limit, and not for capacity, if its cost exceeds maxCalls", async () => {
    const { limiter } = cappedStore(1);
    const login = limiter("login", perMinute(1));
    await login.isAllowed("ada");
    const refusal = { reason: "Rate limit exceeded", retryAfterMs: Infinity };
    expect(await login.peek("new key", { cost: 2 })).toMatchObject(refusal);
    expect(await login.check("new key", { cost: 2 })).toMatchObject(refusal);
  });

  it("replaces a key behind more than 32 at their limit after a few refusals, because each advances the search", async () => {
    const { limiter } = cappedStore(100);
    const login = limiter("login", perMinute(2));
    for (let user = 0; user < 99; user += 1) await login.check(`user ${String(user)}`, { cost: 2 });
    await login.check("has a call left", { cost: 1 });
    let refused = 0;
    while (!(await login.isAllowed("new key")) && refused < 100) refused += 1;
    expect(refused).toBeLessThanOrEqual(4);
  });

  it("does not advance the search by a peek", async () => {
    const { limiter } = cappedStore(100);
    const login = limiter("login", perMinute(2));
    for (let user = 0; user < 99; user += 1) await login.check(`user ${String(user)}`, { cost: 2 });
    await login.check("has a call left", { cost: 1 });
    const results = new Set<boolean>();
    for (let peek = 0; peek < 10; peek += 1) results.add((await login.peek("new key")).allowed);
    expect(results.size).toBe(1);
  });

  it("is refused in its own store only, in a call of several stores", async () => {
    const login = cappedStore(1).limiter("login", perMinute(1));
    const search = cappedStore(10).limiter("search", perMinute(1));
    await login.isAllowed("ada");
    const { members } = await allOf({ search, login }).check({ search: "new key", login: "new key" });
    expect([members.search?.refusedBy, members.login?.refusedBy]).toEqual([null, "capacity"]);
  });

  it("is allowed in shadow mode, and not recorded", async () => {
    const store = new MemoryStore({ maxKeys: 1 });
    const limiter = new AnyLimiter(perMinute(1), { store, mode: "shadow", bypass: false });
    await limiter.isAllowed("ada");
    expect(await limiter.check("new key")).toMatchObject({
      allowed: true,
      shadowed: true,
      reason: "Key capacity exceeded",
    });
    expect(store.size).toBe(1);
  });

  it("replaces no key of a limit that was lowered to 0 until the key is idle", async () => {
    const { clock, limiter } = cappedStore(1);
    const adaptive = limiter("adaptive", perMinute(3));
    const other = limiter("other", perMinute(3));
    await adaptive.isAllowed("ada");
    adaptive.move([0]);
    expect((await adaptive.check("ada")).retryAfterMs).toBe(Infinity);
    expect(await other.check("new key")).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    clock.advance("1m");
    expect(await other.isAllowed("new key")).toBe(true);
  });

  it("never exceeds the cap and never replaces a key at its limit, under any traffic", () => {
    const call = fc.record({
      name: fc.constantFrom("login", "search"),
      key: fc.integer({ min: 0, max: 60 }).map(String),
      cost: fc.integer({ min: 1, max: 3 }),
      wait: fc.constantFrom(0, 0, 0, 1, 5),
    });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.array(call, { maxLength: 300, size: "max" }),
        (maxKeys, calls) => {
          const { clock, store, limiter } = cappedStore(maxKeys);
          const limiters = {
            login: limiter("login", [{ maxCalls: 1, periodMs: 50 }]),
            search: limiter("search", [
              { maxCalls: 3, periodMs: 20 },
              { maxCalls: 4, periodMs: 90 },
            ]),
          };
          const untilLeft = new Map<string, number>();
          for (const { name, key, cost, wait } of calls) {
            clock.set(clock.now() + wait);
            const now = clock.now();
            const id = `${name} ${key}`;
            const { allowed, reason, layers } = limiters[name].checkSync(key, { cost });
            // A call that is admitted earlier means that the key was at its limit and was replaced.
            if (allowed) expect(untilLeft.get(id) ?? now).toBeLessThanOrEqual(now);
            const least = layers.reduce((first, layer) => (layer.remaining < first.remaining ? layer : first));
            if (allowed && least.remaining === 0) untilLeft.set(id, now + (name === "login" ? 50 : 1));
            expect(store.size).toBeLessThanOrEqual(maxKeys);
            // Every key that is not reserved for the other namespace is in use.
            const reserved = Math.floor(Math.floor(maxKeys / 2) / 2);
            if (reason === "Key capacity exceeded") expect(store.size).toBeGreaterThanOrEqual(maxKeys - reserved);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("at the key cap, a key whose call was refused for its cost", () => {
  it.each(["check", "isAllowed"] as const)("is not replaced until the same %s would be allowed", async (method) => {
    const { clock, store, limiter } = cappedStore(1);
    const login = limiter("login", perMinute(3));
    await login.check("ada", { cost: 2 });
    clock.advance("10s");
    await login[method]("ada", { cost: 2 });
    expect(await login.check("new key")).toMatchObject({ refusedBy: "capacity", retryAfterMs: 50_000 });
    clock.advance("49.999s");
    expect(await login.isAllowed("new key")).toBe(false);
    clock.advance("1ms");
    expect(await login.isAllowed("new key")).toBe(true);
    expect(store.evictions).toBe(0);
  });

  it("is not replaced if a call of several keys refused it", async () => {
    const { limiter } = cappedStore(1);
    const login = limiter("login", perMinute(3));
    await login.check("ada", { cost: 2 });
    expect((await allOf({ login }).check({ login: "ada" }, { cost: 2 })).allowed).toBe(false);
    expect(await login.isAllowed("new key")).toBe(false);
  });

  it("can be replaced if the cost exceeds maxCalls", async () => {
    const { limiter } = cappedStore(1);
    const login = limiter("login", perMinute(3));
    await login.check("ada", { cost: 2 });
    expect((await login.check("ada", { cost: 4 })).retryAfterMs).toBe(Infinity);
    expect(await login.isAllowed("new key")).toBe(true);
  });

  it("can be replaced after a refused call of cost 1 as soon as it has calls left", async () => {
    const { limiter } = cappedStore(1);
    const login = limiter("login", perMinute(3));
    await login.check("ada", { cost: 3 });
    expect(await login.isAllowed("ada")).toBe(false);
    expect((await allOf({ login }).check({ login: "ada" })).allowed).toBe(false);
    expect(await login.isAllowed("new key")).toBe(false);
    login.move([4]);
    expect(await login.isAllowed("new key")).toBe(true);
  });
});

it("a refund changes nothing and resolves false if more than 4,096 timestamps are newer", async () => {
  const { clock, limiter } = cappedStore(1);
  const login = limiter("login", perMinute(10_000));
  const decision = await login.check("ada");
  clock.advance("1ms");
  await login.check("ada", { cost: 4097 });
  expect(await login.refund(decision)).toBe(false);
  expect((await login.state("ada")).calls).toBe(4098);
});

describe("namespaces that share a cap", () => {
  it("each have an equal part of half the cap, which keys of another namespace cannot use", async () => {
    const { store, limiter } = cappedStore(10_000);
    const login = limiter("login", perMinute(5));
    const mail = limiter("mail", [{ maxCalls: 1, periodMs: 86_400_000 }]);
    let refused = 0;
    for (let key = 0; key < 20_000; key += 1) if (!(await mail.isAllowed(`junk ${key}`))) refused += 1;
    expect([store.size, refused]).toEqual([7500, 12_500]);
    for (let key = 0; key < 2500; key += 1) expect(await login.isAllowed(`user ${key}`)).toBe(true);
    // Beyond its part, a new key replaces another of the same limiter.
    expect(await login.isAllowed("user 2500")).toBe(true);
    expect([store.size, store.evictions]).toEqual([10_000, 1]);
  });

  it("use the part and the keys of a namespace that was closed", async () => {
    const { store, limiter } = cappedStore(100);
    const mail = limiter("mail", perMinute(1));
    const login = limiter("login", perMinute(1));
    for (let key = 0; key < 100; key += 1) await login.isAllowed(`user ${key}`);
    await mail.isAllowed("ada");
    expect(store.size).toBe(76);
    mail.close();
    expect(store.size).toBe(75);
    for (let key = 0; key < 100; key += 1) await login.isAllowed(`late ${key}`);
    expect([store.size, store.evictions]).toEqual([100, 0]);
  });
});

describe("isAllowed of a limiter in memory", () => {
  it("returns one of two shared promises, and rejects for an invalid key", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", bypass: false });
    const promises = Array.from({ length: 4 }, () => limiter.isAllowed("ada"));
    expect(await Promise.all(promises)).toEqual([true, true, false, false]);
    expect(new Set(promises).size).toBe(2);
    for (const broken of [undefined, 5, "k".repeat(1025)]) {
      await expect(limiter.isAllowed(broken as string)).rejects.toThrow(/`key`/);
    }
  });
});

describe("keys", () => {
  it.each([
    "__proto__",
    "constructor",
    "toString",
    "hasOwnProperty",
    "",
    " ",
    "\u0000",
    "\ud800",
    "\udfff\ud800",
    "😀",
  ])("such as %j are counted like any other", async (key) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: false });
    expect((await limiter.state(key)).calls).toBe(0);
    expect(await limiter.isAllowed(key)).toBe(true);
    expect(await limiter.isAllowed(key)).toBe(false);
    expect(await limiter.isAllowed(`${key} `)).toBe(true);
    await limiter.reset(key);
    expect(await limiter.isAllowed(key)).toBe(true);
  });

  it("of 1,024 characters that differ in the last one are counted separately", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: false });
    const long = "k".repeat(1023);
    expect(await limiter.isAllowed(`${long}a`)).toBe(true);
    expect(await limiter.isAllowed(`${long}b`)).toBe(true);
    expect(await limiter.isAllowed(`${long}a`)).toBe(false);
  });
});

describe("a clock that calls a limiter of its own store", () => {
  it("makes check throw a StoreError", async () => {
    const clock: Clock = {
      now: () => {
        limiter.checkSync("inner");
        return 0;
      },
    };
    const limiter: AsyncRateLimiter = new AsyncRateLimiter({ maxCalls: 1, period: 1, clock, bypass: false });
    await expect(limiter.check("outer")).rejects.toThrow(StoreError);
    expect(() => limiter.checkSync("outer")).toThrow("The clock of a store called a limiter of that store");
  });

  it("makes isAllowed reject with a StoreError", async () => {
    let inner: Promise<boolean> | undefined;
    const clock: Clock = {
      now: () => {
        inner ??= limiter.isAllowed("inner");
        return 0;
      },
    };
    const limiter: AsyncRateLimiter = new AsyncRateLimiter({ maxCalls: 1, period: 1, clock, bypass: false });
    expect(await limiter.isAllowed("outer")).toBe(true);
    await expect(inner).rejects.toThrow(StoreError);
  });
});

it("of 1,000 concurrent calls, a limiter admits as many as the limit allows", async () => {
  const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1m", bypass: false });
  const results = await Promise.all(Array.from({ length: 1000 }, () => limiter.isAllowed("ada")));
  expect(results.filter(Boolean)).toHaveLength(3);
});
