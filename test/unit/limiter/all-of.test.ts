import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type AllOf,
  allOf,
  AsyncRateLimiter,
  type Decision,
  LayeredRateLimiter,
  MemoryStore,
  type AsyncStore,
  type BatchItem,
  type Store,
  StoreError,
  type SyncNamespace,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { Model } from "../../support/model.js";
import { AnyLimiter } from "../../support/model-run.js";
import { asyncStore } from "../../support/async-store.js";

const limit = (maxCalls: number) => ({ maxCalls, period: "1m", bypass: false }) as const;

/** A store that answers a turn later, and so knows nothing of several keys at once. */
function lateStore(broken: { check?: boolean } = {}): AsyncStore {
  return asyncStore({
    later: async (decide) => {
      await new Promise((resolve) => setImmediate(resolve));
      if (broken.check === true) throw new StoreError("The store is gone");
      return decide();
    },
  });
}

describe.each(["memory", "an asynchronous store"])("several keys at once, over %s", (kind) => {
  const store = (): { store?: Store } => (kind === "memory" ? {} : { store: lateStore() });

  it("are allowed if no member refuses, and are recorded in all or in none", async () => {
    const ip = new AsyncRateLimiter({ ...limit(3), ...store() });
    const user = new AsyncRateLimiter({ ...limit(2), ...store() });
    const both = allOf({ ip, user });
    const keys = { ip: "10.0.0.1", user: "ada" };
    expect(await both.check(keys)).toMatchObject({ allowed: true, member: "user", remaining: 1 });
    expect(await both.isAllowed(keys)).toBe(true);
    const refused = await both.check(keys);
    expect(refused).toMatchObject({ allowed: false, member: "user", reason: "Rate limit exceeded", remaining: 0 });
    expect(refused.limit).toBe(user.limits[0]);
    expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([2, 2]);
  });

  it("leave out a member whose key is null", async () => {
    const both = allOf({ ip: new AsyncRateLimiter({ ...limit(1), ...store() }), user: new AsyncRateLimiter(limit(0)) });
    const decision = await both.check({ ip: "10.0.0.1", user: null });
    expect(decision).toMatchObject({ allowed: true, member: "ip", members: { user: null, ip: { allowed: true } } });
    expect((await both.check({ ip: "10.0.0.1", user: null })).allowed).toBe(false);
    expect(await both.check({ ip: null, user: null })).toMatchObject({
      allowed: true,
      bypassed: true,
      refusedBy: null,
      members: { ip: null },
    });
  });

  it("are refunded together, once", async () => {
    const ip = new AsyncRateLimiter({ ...limit(3), ...store() });
    const user = new AsyncRateLimiter({ ...limit(2), ...store() });
    const both = allOf({ ip, user });
    const decision = await both.check({ ip: "10.0.0.1", user: "ada" }, { cost: 2 });
    expect([await both.refund(decision), await both.refund(decision)]).toEqual([true, false]);
    expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([0, 0]);
    await expect(both.refund({ ...decision })).rejects.toThrow(TypeError);
  });

  it("are forgotten by reset: the given keys, or all keys without an argument", async () => {
    const ip = new AsyncRateLimiter({ ...limit(1), ...store() });
    const user = new AsyncRateLimiter({ ...limit(1), ...store() });
    const both = allOf({ ip, user });
    await both.check({ ip: "10.0.0.1", user: "ada" });
    await both.reset({ ip: "10.0.0.1", user: null });
    expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([0, 1]);
    await both.reset();
    expect((await user.state("ada")).calls).toBe(0);
    await expect(both.reset({ ip: "10.0.0.1" } as never)).rejects.toThrow(TypeError);
    await expect(both.reset(undefined as never)).rejects.toThrow(TypeError);
  });

  it("keep each member's mode and bypass", async () => {
    const heard: string[] = [];
    const tell = (name: string) => ({ onDecision: () => heard.push(name) });
    const ip = new AsyncRateLimiter({ ...limit(1), mode: "shadow", ...tell("ip"), ...store() });
    const user = new AsyncRateLimiter({ ...limit(2), bypass: (key) => key === "staff", ...tell("user"), ...store() });
    const both = allOf({ ip, user });
    await both.check({ ip: "10.0.0.1", user: "ada" });
    const shadowed = await both.check({ ip: "10.0.0.1", user: "ada" });
    expect(shadowed).toMatchObject({
      allowed: true,
      refusedBy: null,
      members: { ip: { shadowed: true, refusedBy: "limit" }, user: { remaining: 0, refusedBy: null } },
    });
    expect(await both.check({ ip: "10.0.0.1", user: "staff" })).toMatchObject({
      members: { user: { bypassed: true } },
    });
    expect((await ip.state("10.0.0.1")).calls).toBe(1);
    expect(heard).toEqual(["ip", "user", "ip", "user", "ip", "user"]);
  });
});

describe("several keys at once, in memory", () => {
  it("are checked and recorded in one synchronous run, without onDecision in between", async () => {
    const clock = new ManualClock();
    const meddle: (() => void)[] = [];
    const ip: AnyLimiter = new AnyLimiter([{ maxCalls: 5, periodMs: 1000 }], {
      bypass: false,
      clock,
      onDecision: () => {
        for (const act of meddle.splice(0)) act();
      },
    });
    const user: AnyLimiter = new AnyLimiter([{ maxCalls: 1, periodMs: 1000 }], { bypass: false, clock });
    const both = allOf({ ip, user });
    // What would break it: spending the other member's last call, and closing its limit, once the first has spent.
    meddle.push(() => void user.checkSync("ada"));
    meddle.push(() => {
      user.move([0]);
    });
    expect((await both.check({ ip: "10.0.0.1", user: "ada" })).allowed).toBe(true);
    expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([1, 1]);
    expect((await both.check({ ip: "10.0.0.1", user: "grace" })).allowed).toBe(false);
    expect((await ip.state("10.0.0.1")).calls).toBe(1);
  });

  it("call onDecision only of the members that refuse", async () => {
    const heard: [string, boolean][] = [];
    const tell = (name: string) => ({
      onDecision: ({ allowed }: Decision) => heard.push([name, allowed]),
    });
    const both = allOf({
      ip: new AsyncRateLimiter({ ...limit(9), ...tell("ip") }),
      user: new AsyncRateLimiter({ ...limit(1), ...tell("user") }),
    });
    for (let call = 0; call < 2; call += 1) await both.check({ ip: "10.0.0.1", user: "ada" });
    expect(heard).toEqual([
      ["ip", true],
      ["user", true],
      ["user", false],
    ]);
  });

  it("have the decision with the longest wait of several refusals, else that with the least remaining", async () => {
    const clock = new ManualClock();
    const both = allOf({
      short: new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock, bypass: false }),
      long: new AsyncRateLimiter({ maxCalls: 1, period: "1h", clock, bypass: false }),
      wide: new AsyncRateLimiter({ maxCalls: 9, period: "1h", clock, bypass: false }),
    });
    const keys = { short: "a", long: "a", wide: "a" };
    expect(await both.check(keys)).toMatchObject({ member: "short", remaining: 0 });
    expect(await both.check(keys)).toMatchObject({ member: "long", retryAfterMs: 3_600_000 });
  });

  it("need room for every new key together, else record nothing and evict no key", async () => {
    const store = new MemoryStore({ maxKeys: 3 });
    const ip = new AsyncRateLimiter({ ...limit(2), name: "ip", store });
    const user = new AsyncRateLimiter({ ...limit(2), name: "user", store });
    const both = allOf({ ip, user });
    await ip.check("full", { cost: 2 });
    await user.check("full", { cost: 2 });
    await user.check("half");
    // One place can be made, by forgetting the half-used key; two cannot.
    const refused = await both.check({ ip: "new", user: "new" });
    expect(refused).toMatchObject({ allowed: false, reason: "Key capacity exceeded", member: "user", remaining: 0 });
    expect([store.size, store.evictions, (await user.state("half")).calls]).toEqual([3, 0, 1]);
    // A key that is asked about in the same call is not forgotten for another.
    expect((await both.check({ ip: "new", user: "half" })).allowed).toBe(false);
    expect((await user.state("half")).calls).toBe(1);
    // Not even where there is a key to forget: here the one that makes room is another.
    await user.check("full", { cost: 1 });
    await user.reset("full");
    expect((await both.check({ ip: "new", user: "newer" })).allowed).toBe(true);
    expect([store.size, store.evictions]).toEqual([3, 1]);
  });

  it("are admitted after a few refusals for room, because each refusal moves the position of the evictor", async () => {
    const store = new MemoryStore({ maxKeys: 80 });
    const ip = new AsyncRateLimiter({ ...limit(2), name: "ip", store });
    const user = new AsyncRateLimiter({ ...limit(2), name: "user", store });
    for (let key = 0; key < 58; key += 1) await ip.check(`full ${key}`, { cost: 2 });
    for (const key of ["half", "other half"]) await ip.check(key);
    const both = allOf({ ip, user });
    let refused = 0;
    while (!(await both.isAllowed({ ip: "new", user: "new" })) && refused < 100) refused += 1;
    expect(refused).toBeLessThanOrEqual(4);
  });

  it("call every bypass before the first limit is read", async () => {
    const a: AnyLimiter = new AnyLimiter([{ maxCalls: 5, periodMs: 1000 }], { bypass: false });
    const b: AnyLimiter = new AnyLimiter([{ maxCalls: 5, periodMs: 1000 }], {
      bypass: () => {
        a.move([0]);
        return false;
      },
    });
    expect((await allOf({ a, b }).check({ a: "x", b: "y" })).allowed).toBe(false);
    expect([(await a.state("x")).calls, (await b.state("y")).calls]).toEqual([0, 0]);
  });

  it("record all or nothing even where a clock fails, or calls one of the limiters", async () => {
    const acts: (() => void)[] = [];
    const clock = {
      now: () => {
        acts.shift()?.();
        return 0;
      },
    };
    const a = new AsyncRateLimiter(limit(1));
    const b = new AsyncRateLimiter({ ...limit(1), clock });
    const both = allOf({ a, b });
    acts.push(() => {
      throw new Error("no time");
    });
    await expect(both.check({ a: "x", b: "y" })).rejects.toThrow(StoreError);
    expect([(await a.state("x")).calls, (await b.state("y")).calls]).toEqual([0, 0]);
    acts.push(() => void a.checkSync("x"));
    expect(await both.check({ a: "x", b: "y" })).toMatchObject({ allowed: false, member: "a" });
    expect([(await a.state("x")).calls, (await b.state("y")).calls]).toEqual([1, 0]);
  });

  it("have the decision of a member that recorded the call, if there is one", async () => {
    const open = new AsyncRateLimiter({ maxCalls: 1, period: "1m", bypass: () => true });
    const shadow = new AsyncRateLimiter({ ...limit(0), mode: "shadow" });
    const real = new AsyncRateLimiter(limit(100));
    const decision = await allOf({ open, shadow, real }).check({ open: "a", shadow: "a", real: "a" });
    expect(decision).toMatchObject({ member: "real", bypassed: false, shadowed: false, remaining: 99 });
  });

  it("agree with one brute-force model for each member, whatever the limits, keys and costs", async () => {
    const call = fc.record({
      ip: fc.constantFrom("a", "b", null),
      user: fc.constantFrom("x", "y", null),
      cost: fc.constantFrom(1, 1, 2),
      wait: fc.constantFrom(0, 1, 3, 9),
      refund: fc.boolean(),
    });
    const depth = fc.integer({ min: 0, max: 4 });
    await fc.assert(
      fc.asyncProperty(
        depth,
        depth,
        fc.boolean(),
        fc.array(call, { maxLength: 60, size: "max" }),
        async (m, n, shared, calls) => {
          const clock = new ManualClock();
          const own = (name: string) => (shared ? { name, store } : { clock });
          const store = new MemoryStore({ clock });
          const limits = { ip: [{ maxCalls: m, periodMs: 10 }], user: [{ maxCalls: n, periodMs: 7 }] };
          const ip = new AnyLimiter(limits.ip, { bypass: false, ...own("ip") });
          const user = new AnyLimiter(limits.user, { bypass: false, ...own("user") });
          const both: AllOf<{ user: AnyLimiter; ip: AnyLimiter }> = allOf({ user, ip });
          const models = { ip: new Model(), user: new Model() };
          for (const { wait, cost, refund, ...keys } of calls) {
            clock.set(clock.now() + wait);
            const asked = (["ip", "user"] as const).filter((name) => keys[name] !== null);
            const allowed = asked.every(
              (name) => models[name].peek(keys[name]!, limits[name], cost, clock.now()).allowed,
            );
            const decision = await both.check(keys, { cost });
            expect(decision.allowed).toBe(allowed);
            if (allowed) for (const name of asked) models[name].check(keys[name]!, limits[name], cost, clock.now());
            if (allowed && refund) {
              expect(await both.refund(decision)).toBe(asked.length > 0);
              for (const name of asked) models[name].admissions.pop();
            }
            for (const key of ["a", "b"]) {
              expect((await ip.state(key)).calls).toBe(models.ip.used(key, 10, clock.now()));
            }
            for (const key of ["x", "y"]) {
              expect((await user.state(key)).calls).toBe(models.user.used(key, 7, clock.now()));
            }
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});

describe("several keys at once, in an asynchronous store", () => {
  it("are checked in the order in which the limiters were created, so that of two concurrent calls one is allowed", async () => {
    const asked: string[] = [];
    const tell = (name: string) => ({ onDecision: () => asked.push(name) });
    const first = new AsyncRateLimiter({ ...limit(1), store: lateStore(), ...tell("first") });
    const second = new AsyncRateLimiter({ ...limit(1), store: lateStore(), ...tell("second") });
    const answers = await Promise.all([
      allOf({ first, second }).isAllowed({ first: "a", second: "a" }),
      allOf({ second, first }).isAllowed({ second: "a", first: "a" }),
    ]);
    expect(answers).toEqual([true, false]);
    expect(asked[0]).toBe("first");
  });

  it("have no decision of the members after one that refuses", async () => {
    const shut = new AsyncRateLimiter({ ...limit(0), store: lateStore() });
    const open = new AsyncRateLimiter({ ...limit(9), store: lateStore() });
    const decision = await allOf({ open, shut }).check({ open: "a", shut: "a" });
    expect(decision).toMatchObject({ member: "shut", members: { open: null, shut: { allowed: false } } });
    expect((await open.state("a")).calls).toBe(0);
  });

  it("are checked in order if one of their stores is asynchronous", async () => {
    const memory = new AsyncRateLimiter(limit(9));
    const late = new AsyncRateLimiter({ ...limit(0), store: lateStore() });
    for (const members of [
      { memory, late },
      { late, memory },
    ]) {
      expect((await allOf(members).check({ memory: "a", late: "a" })).allowed).toBe(false);
    }
    expect((await memory.state("a")).calls).toBe(0);
  });

  it("are checked by one call of the store's checkBatch, where it has one", async () => {
    const memory = new MemoryStore();
    const batches: (readonly BatchItem[])[] = [];
    const store: AsyncStore = {
      ...lateStore({ check: true }),
      checkBatch: (items) => {
        batches.push(items);
        const results = items.map(({ key, limits, cost }) => memoryOf(key).check(key, limits, cost));
        return Promise.resolve({ results });
      },
    };
    const memoryOf = (key: string): SyncNamespace => memory.open(`of ${key}`, [60_000]);
    const ip = new AsyncRateLimiter({ ...limit(9), name: "ip", store });
    const user = new AsyncRateLimiter({ ...limit(9), name: "user", store });
    expect((await allOf({ ip, user }).check({ ip: "10.0.0.1", user: "ada" })).allowed).toBe(true);
    expect(batches.map((items) => items.map(({ key }) => key))).toEqual([["10.0.0.1", "ada"]]);
  });

  it("are refunded when a store fails, and the call rejects with the error of the store", async () => {
    const broken = { check: false };
    const first = new AsyncRateLimiter({ ...limit(9), store: lateStore() });
    const second = new AsyncRateLimiter({ ...limit(9), store: lateStore(broken) });
    broken.check = true;
    await expect(allOf({ first, second }).check({ first: "a", second: "a" })).rejects.toThrow(StoreError);
    expect((await first.state("a")).calls).toBe(0);
  });
});

describe("the arguments of allOf", () => {
  const ip = new AsyncRateLimiter(limit(1));
  const user = new LayeredRateLimiter<`user:${string}`>({ limits: [{ name: "Burst", maxCalls: 1, period: "1s" }] });

  it.each([
    [undefined, TypeError],
    [null, TypeError],
    [[ip], TypeError],
    [{}, RangeError],
    [{ ip: {} }, TypeError],
    [{ ip: undefined }, TypeError],
    [{ ip, again: ip }, TypeError],
  ])("members of %o are an error", (members, kind) => {
    expect(() => allOf(members as unknown as { ip: AsyncRateLimiter })).toThrow(kind);
  });

  it.each([
    ["a proxy", new Proxy(ip, {})],
    ["an object whose prototype is a limiter", Object.create(ip) as AsyncRateLimiter],
    ["the prototype of the class", AsyncRateLimiter.prototype],
    ["a copy", Object.assign({}, ip)],
  ])("allOf rejects %s as a member when it is constructed", (_, member) => {
    const message = "Expected `members.user` to be a limiter, and neither a copy nor a proxy of one, got";
    expect(() => allOf({ ip, user: member })).toThrow(message);
  });

  it("a key that is missing, undefined, not a string or of no member is a TypeError, and nothing is recorded", async () => {
    const both = allOf({ ip, user });
    const wrong = [
      { ip: "10.0.0.1" },
      { ip: "10.0.0.1", user: undefined },
      { ip: 7, user: "user:7" },
      { ip: "10.0.0.1", user: "user:7", org: "x" },
      undefined,
      "10.0.0.1",
    ];
    for (const keys of wrong) {
      await expect(both.check(keys as never)).rejects.toThrow(TypeError);
    }
    await expect(both.check({ ip: "10.0.0.1", user: undefined } as never)).rejects.toThrow(
      "Expected `keys.user` to be a string, got `undefined` (undefined)",
    );
    await expect(both.check({ ip: "10.0.0.1", user: "user:7" }, { cost: 0 })).rejects.toThrow(RangeError);
    expect((await ip.state("10.0.0.1")).calls).toBe(0);
  });

  it("have types that follow from the members", async () => {
    const both = allOf({ ip, user });
    // @ts-expect-error -- a key of another kind
    void both.check({ ip: "10.0.0.1", user: "guest:7" });
    // @ts-expect-error -- a key is missing
    await expect(both.check({ ip: "10.0.0.1" })).rejects.toThrow(TypeError);
    const { member } = await both.check({ ip: "10.0.0.9", user: null });
    const name: "ip" | "user" = member;
    expect(name).toBe("ip");
  });
});
