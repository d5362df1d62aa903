import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { allOf, AsyncRateLimiter, type Clock, type Limit, MemoryStore, StoreError } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { AnyLimiter } from "../../support/model-run.js";
import { InspectableNamespace } from "../../support/inspectable-namespace.js";

const perMinute = (maxCalls: number): Limit[] => [{ maxCalls, periodMs: 60_000 }];

function cappedStore(maxKeys: number, onFull: "evict" | "deny" = "evict") {
  const clock = new ManualClock();
  const store = new MemoryStore({ clock, maxKeys, onFull });
  const limiter = (name: string, limits: readonly Limit[]) => new AnyLimiter(limits, { name, store, bypass: false });
  return { clock, store, limiter };
}

describe("the spaces of a MemoryStore", () => {
  it("keep the same key of two limiters apart, and reset() to one of them", async () => {
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

  it("cannot be opened twice under one name", () => {
    const store = new MemoryStore();
    new AsyncRateLimiter({ maxCalls: 1, period: 1, store });
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store })).toThrow(
      new RangeError(
        "Expected `name` to be a name that no other limiter of this store has (without one it is `default`); give each its own, got `default` (string)",
      ),
    );
  });

  it("are not opened by a limiter whose other options are refused", () => {
    const store = new MemoryStore();
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store, bypass: true as unknown as false })).toThrow();
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, store })).not.toThrow();
  });

  it.each([[[]], [[0]], [[1, NaN]], [[1.5]]])(
    "cannot be opened for the periods %j, and leave the name free",
    (periods) => {
      const store = new MemoryStore();
      expect(() => store.open("login", periods)).toThrow(RangeError);
      expect(() => store.open("login", [1])).not.toThrow();
    },
  );

  it.each(["", "a:b", ":"])("cannot be called %j", (name) => {
    expect(() => new AsyncRateLimiter({ maxCalls: 1, period: 1, name })).toThrow(
      new RangeError(`Expected \`name\` to be a non-empty string without \`:\`, got \`${name}\` (string)`),
    );
  });
});

describe("the options of a MemoryStore", () => {
  it.each([0, -1, 1.5, NaN, Infinity, 2 ** 23 + 1])("refuse maxKeys %d", (maxKeys) => {
    expect(() => new MemoryStore({ maxKeys })).toThrow(RangeError);
  });

  it.each([{ maxKeys: "10" }, { clock: {} }, { clock: Date.now }, { maxkeys: 10 }, null, [], 5])(
    "refuse %j as a TypeError",
    (options) => {
      expect(() => new MemoryStore(options as object)).toThrow(TypeError);
    },
  );

  it("take the largest maxKeys that a Map survives under churn, and undefined for what is left out", () => {
    expect(() => new MemoryStore({ maxKeys: 2 ** 23, clock: undefined })).not.toThrow();
    expect(() => new MemoryStore({ maxKeys: undefined })).not.toThrow();
  });
});

describe("what a MemoryStore writes", () => {
  it("is nothing for a refusal, a peek or a state, of a known or an unknown key", () => {
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

  it("is one stamp for each unit of cost, however deep the limit", () => {
    const inspected = new InspectableNamespace(60_000);
    inspected.namespace.check("once", perMinute(10_000), 1);
    inspected.namespace.check("twice", perMinute(10_000), 2);
    expect(inspected.contents().map(({ timestamps }) => timestamps)).toEqual([[0], [0, 0]]);
  });

  it("is gone after reset(key), and after the refund of a key's only call", async () => {
    const { store, limiter } = cappedStore(10);
    const { check, ada } = { check: limiter("login", perMinute(3)), ada: "ada" };
    await check.isAllowed(ada);
    await check.reset(ada);
    expect(store.size).toBe(0);
    const decision = await check.check(ada);
    expect(store.size).toBe(1);
    expect(await check.refund(decision)).toBe(true);
    expect(store.size).toBe(0);
    await check.reset("never seen");
    expect(store.size).toBe(0);
  });

  it("stays with its key through any adding and forgetting of others", () => {
    const key = fc.integer({ min: 0, max: 15 }).map(String);
    fc.assert(
      fc.property(fc.array(fc.tuple(key, fc.boolean()), { maxLength: 80 }), (steps) => {
        const inspected = new InspectableNamespace(1000);
        const spent = new Map<string, number>();
        for (const [name, adds] of steps) {
          if (adds) {
            inspected.namespace.check(name, perMinute(100), 1);
            spent.set(name, (spent.get(name) ?? 0) + 1);
          } else {
            inspected.namespace.reset(name);
            spent.delete(name);
          }
          expect(inspected.table.size).toBe(spent.size);
          for (const [other, calls] of spent) expect(inspected.namespace.state(other).calls).toBe(calls);
        }
      }),
    );
  });
});

describe("a hundred thousand keys in one space", () => {
  it("are counted each on its own as they come, call again, are reset, expire and come back", async () => {
    const { clock, store, limiter } = cappedStore(200_000);
    const login = limiter("login", perMinute(2));
    const keys = Array.from({ length: 100_000 }, (_, at) => `user ${String(at)}`);
    const asked = async (whom: readonly string[]): Promise<number> => {
      let admitted = 0;
      for (const key of whom) if (await login.isAllowed(key)) admitted += 1;
      return admitted;
    };
    expect(await asked(keys)).toBe(100_000);
    clock.advance("30s");
    const some = keys.filter((_, at) => at % 3 === 0);
    expect([await asked(some), await asked(some)]).toEqual([some.length, 0]);
    for (const key of some) await login.reset(key);
    expect(store.size).toBe(keys.length - some.length);
    expect([await asked(some), await asked(keys)]).toEqual([some.length, 100_000]);
    clock.advance("30s");
    // The first calls of those that were not reset are a minute old.
    expect(await asked(keys)).toBe(keys.length - some.length);
    clock.advance("2m");
    expect(await asked(keys.slice(0, 60_000))).toBe(60_000);
    expect(store.size).toBeLessThan(70_000);
    expect(store.evictions).toBe(0);
  });
});

describe("idle keys", () => {
  it("are removed as calls are admitted, up to 24 at each eighth", async () => {
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

  it("are reclaimed over all spaces, by the calls of any, each by its own longest period", async () => {
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

  it("are not reclaimed by refusals", async () => {
    const { clock, store, limiter } = cappedStore(1000);
    const login = limiter("login", perMinute(1));
    for (let user = 0; user < 10; user += 1) await login.isAllowed(`user ${String(user)}`);
    clock.advance("1m");
    for (let call = 0; call < 10; call += 1) await login.check("ada", { cost: 2 });
    expect(store.size).toBe(10);
  });

  it("never outgrow the live ones much, however long fresh keys arrive: 100 are live at any instant here", async () => {
    const { clock, store, limiter } = cappedStore(1_000_000);
    const login = limiter("login", [{ maxCalls: 1, periodMs: 100 }]);
    let largest = 0;
    for (let user = 0; user < 100_000; user += 1) {
      await login.isAllowed(`user ${String(user)}`);
      clock.advance("1ms");
      largest = Math.max(largest, store.size);
    }
    expect(largest).toBeLessThan(200);
  });
});

describe("at the key cap, a key that is known", () => {
  it.each(["evict", "deny"] as const)("needs no room, by any verb, where onFull is %s", async (onFull) => {
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

describe("at the key cap, a newcomer", () => {
  it("takes the place of an idle key, and nothing is lost", async () => {
    const { clock, store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(3));
    for (let user = 0; user < 5; user += 1) await login.isAllowed(`old ${String(user)}`);
    clock.advance("30s");
    for (let user = 0; user < 5; user += 1) await login.isAllowed(`young ${String(user)}`);
    clock.advance("30s");
    expect(await login.isAllowed("newcomer")).toBe(true);
    expect(store.evictions).toBe(0);
    for (let user = 0; user < 5; user += 1) expect((await login.state(`young ${String(user)}`)).calls).toBe(1);
  });

  it("takes the place of the key with the fewest live calls of the first eight that have calls left", async () => {
    const { store, limiter } = cappedStore(10);
    const login = limiter("login", perMinute(9));
    const calls = [9, 5, 4, 3, 2, 6, 7, 8, 4, 1]; // The first stands at its limit; the eighth after it is out of sight.
    for (const [user, cost] of calls.entries()) await login.check(`user ${String(user)}`, { cost });
    // The hand has gone round as these were admitted; where it stands now, the whole circle is within 32 keys.
    const before = await Promise.all(calls.map((_, user) => login.state(`user ${String(user)}`)));
    expect(await login.isAllowed("newcomer")).toBe(true);
    const after = await Promise.all(calls.map((_, user) => login.state(`user ${String(user)}`)));
    const freed = after.flatMap(({ calls }, user) => (calls === 0 ? [before[user]?.calls ?? 0] : []));
    expect(freed).toHaveLength(1);
    expect(freed[0]).toBeLessThanOrEqual(2);
    expect(store.evictions).toBe(1);
    expect(store.size).toBe(10);
  });

  it("is refused where every key stands at its limit, until the first of them has a call expire", async () => {
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
    expect(await login.peek("newcomer")).toMatchObject(expected);
    expect(await login.check("newcomer")).toMatchObject(expected);
    expect(await login.isAllowed("newcomer")).toBe(false);
    clock.set(clock.now() + 57_000 - 1);
    expect(await login.isAllowed("newcomer")).toBe(false);
    clock.advance("1ms");
    expect((await login.peek("newcomer")).allowed).toBe(true);
    expect(await login.isAllowed("newcomer")).toBe(true);
    expect(store.evictions).toBe(0);
    for (const user of ["b", "c"]) expect(await login.isAllowed(user)).toBe(false);
  });

  it("is refused for its cost, and not for want of room, where no limit could ever let it pass", async () => {
    const { limiter } = cappedStore(1);
    const login = limiter("login", perMinute(1));
    await login.isAllowed("ada");
    const refusal = { reason: "Rate limit exceeded", retryAfterMs: Infinity };
    expect(await login.peek("newcomer", { cost: 2 })).toMatchObject(refusal);
    expect(await login.check("newcomer", { cost: 2 })).toMatchObject(refusal);
  });

  it("finds a free key behind more than 32 at their limit, because each refusal moves the hand on", async () => {
    const { limiter } = cappedStore(100);
    const login = limiter("login", perMinute(2));
    for (let user = 0; user < 99; user += 1) await login.check(`user ${String(user)}`, { cost: 2 });
    await login.check("has a call left", { cost: 1 });
    let refused = 0;
    while (!(await login.isAllowed("newcomer")) && refused < 100) refused += 1;
    expect(refused).toBeLessThanOrEqual(4);
  });

  it("does not move the hand by peeking", async () => {
    const { limiter } = cappedStore(100);
    const login = limiter("login", perMinute(2));
    for (let user = 0; user < 99; user += 1) await login.check(`user ${String(user)}`, { cost: 2 });
    await login.check("has a call left", { cost: 1 });
    const answers = new Set<boolean>();
    for (let peek = 0; peek < 10; peek += 1) answers.add((await login.peek("newcomer")).allowed);
    expect(answers.size).toBe(1);
  });

  it("is let through in shadow mode, and not remembered", async () => {
    const store = new MemoryStore({ maxKeys: 1 });
    const limiter = new AnyLimiter(perMinute(1), { store, mode: "shadow", bypass: false });
    await limiter.isAllowed("ada");
    expect(await limiter.check("newcomer")).toMatchObject({
      allowed: true,
      shadowed: true,
      reason: "Key capacity exceeded",
    });
    expect(store.size).toBe(1);
  });

  it("finds the keys of a limit that was lowered to 0 at their limit until they are idle", async () => {
    const { clock, limiter } = cappedStore(1);
    const adaptive = limiter("adaptive", perMinute(3));
    const other = limiter("other", perMinute(3));
    await adaptive.isAllowed("ada");
    adaptive.move([0]);
    expect((await adaptive.check("ada")).retryAfterMs).toBe(Infinity);
    expect(await other.check("newcomer")).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    clock.advance("1m");
    expect(await other.isAllowed("newcomer")).toBe(true);
  });

  it("never brings the size over the cap, and never frees a key at its limit, under any traffic", () => {
    const call = fc.record({
      space: fc.constantFrom("login", "search"),
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
          const spaces = {
            login: limiter("login", [{ maxCalls: 1, periodMs: 50 }]),
            search: limiter("search", [
              { maxCalls: 3, periodMs: 20 },
              { maxCalls: 4, periodMs: 90 },
            ]),
          };
          const untilLeft = new Map<string, number>();
          for (const { space, key, cost, wait } of calls) {
            clock.set(clock.now() + wait);
            const now = clock.now();
            const id = `${space} ${key}`;
            const { allowed, reason, layers } = spaces[space].checkSync(key, { cost });
            // Admitted although a former call of the same key had brought it to its limit: it was forgotten.
            if (allowed) expect(untilLeft.get(id) ?? now).toBeLessThanOrEqual(now);
            const least = layers.reduce((first, layer) => (layer.remaining < first.remaining ? layer : first));
            if (allowed && least.remaining === 0) untilLeft.set(id, now + (space === "login" ? 50 : 1));
            expect(store.size).toBeLessThanOrEqual(maxKeys);
            // All that is not reserved for the other namespace is in use.
            const reserved = Math.floor(Math.floor(maxKeys / 2) / 2);
            if (reason === "Key capacity exceeded") expect(store.size).toBeGreaterThanOrEqual(maxKeys - reserved);
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("namespaces that share a cap", () => {
  it("each have their part of one half, and the keys of one keep out no new key of another", async () => {
    const { store, limiter } = cappedStore(10_000);
    const login = limiter("login", perMinute(5));
    const mail = limiter("mail", [{ maxCalls: 1, periodMs: 86_400_000 }]);
    let refused = 0;
    for (let key = 0; key < 20_000; key += 1) if (!(await mail.isAllowed(`junk ${key}`))) refused += 1;
    expect([store.size, refused]).toEqual([7500, 12_500]);
    for (let key = 0; key < 2500; key += 1) expect(await login.isAllowed(`user ${key}`)).toBe(true);
    // Beyond its part a new key replaces another of the same limiter.
    expect(await login.isAllowed("user 2500")).toBe(true);
    expect([store.size, store.evictions]).toEqual([10_000, 1]);
  });

  it("get back the part of one that is closed, with all its keys", async () => {
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
  it("makes no promise for its call, and rejects where it fails", async () => {
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
  ])("such as %j are like any other", async (key) => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: false });
    expect((await limiter.state(key)).calls).toBe(0);
    expect(await limiter.isAllowed(key)).toBe(true);
    expect(await limiter.isAllowed(key)).toBe(false);
    expect(await limiter.isAllowed(`${key} `)).toBe(true);
    await limiter.reset(key);
    expect(await limiter.isAllowed(key)).toBe(true);
  });

  it("of 1,024 characters are like any other, and differ by their last letter", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: false });
    const long = "k".repeat(1023);
    expect(await limiter.isAllowed(`${long}a`)).toBe(true);
    expect(await limiter.isAllowed(`${long}b`)).toBe(true);
    expect(await limiter.isAllowed(`${long}a`)).toBe(false);
  });
});

describe("a clock that calls a limiter of its own store", () => {
  it("is refused, and told why", async () => {
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

  it("is refused by the short form of check, too", async () => {
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

  it("admits exactly what the limit allows of many concurrent calls", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1m", bypass: false });
    const answers = await Promise.all(Array.from({ length: 1000 }, () => limiter.isAllowed("ada")));
    expect(answers.filter(Boolean)).toHaveLength(3);
  });
});
