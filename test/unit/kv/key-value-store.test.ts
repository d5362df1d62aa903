import { AsyncRateLimiter, StoreError } from "sluicegate";
import { type KeyValue, KeyValueStore, type VersionedKeyValue } from "sluicegate/kv";
import { ManualClock } from "sluicegate/testing";
import { describe, expect, expectTypeOf, it, vi } from "vitest";
import { simpleKeyValue, versionedKeyValue, versions } from "../../support/key-values.js";

const LIMIT = { maxCalls: 3, period: "1h", bypass: false } as const;
const key = (text: string): string => Buffer.from(`rate_limit:default:${text}`).toString("hex");

/** A key-value store in a Map, each of whose operations takes place when the test says so. */
function heldKeyValue() {
  const texts = new Map<string, string>();
  const waiting: { readonly name: string; readonly settle: (error?: Error) => void }[] = [];
  const held = <T>(name: string, apply: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const settle = (error?: Error): void => (error === undefined ? resolve(apply()) : reject(error));
      waiting.push({ name, settle });
    });
  const kv: KeyValue = {
    get: (at) => held("get", () => texts.get(at)),
    set: (at, text) => held("set", () => texts.set(at, text)),
    delete: (at) => held("delete", () => texts.delete(at)),
    keys: () => held("keys", () => texts.keys()),
  };
  /** Waits for the next operation of this name, and lets it happen or fail. */
  const next = async (name: string, error?: Error): Promise<void> => {
    const indexOf = (): number => waiting.findIndex((operation) => operation.name === name);
    await vi.waitFor(() => expect(indexOf()).not.toBe(-1), { interval: 1 });
    waiting.splice(indexOf(), 1)[0]!.settle(error);
  };
  return { kv, texts, waiting, next };
}

describe("a KeyValueStore", () => {
  it("says across which processes it is exact, as a value and as a type", () => {
    const simple = new KeyValueStore({ kv: simpleKeyValue() });
    expect(simple.exactAcross).toBe("process");
    expectTypeOf(simple.exactAcross).toEqualTypeOf<"process">();
    const versioned = new KeyValueStore({ kv: versionedKeyValue() });
    expect(versioned.exactAcross).toBe("all");
    expectTypeOf(versioned.exactAcross).toEqualTypeOf<"all">();
    const any: KeyValueStore = versioned;
    expectTypeOf(any.exactAcross).toEqualTypeOf<"process" | "all">();
    const map = new KeyValueStore({ kv: new Map<string, string>() });
    expectTypeOf(map.exactAcross).toEqualTypeOf<"process">();
  });

  it.each<[string, object, RegExp]>([
    ["no kv", {}, /^Expected `kv` to be an object with the methods `get`, `delete`, and `set` or `compareAndSet`/],
    ["a kv without delete", { kv: { get: () => null, set: () => null } }, /^Expected `kv`/],
    ["a kv whose methods are of Object.prototype", { kv: Object.create(null) as object }, /^Expected `kv`/],
    ["an unknown option", { kv: new Map(), client: 1 }, /^Expected `client` to be one of the options kv, clock/],
    ["a clock without now", { kv: new Map(), clock: {} }, /^Expected `clock`/],
    ["a timeout without a unit", { kv: new Map(), timeout: "5" }, /^Expected `timeout`/],
  ])("rejects %s", (_what, options, message) => {
    expect(() => new KeyValueStore(options as never)).toThrow(message);
  });

  it("rejects a clock that differs from that of another store of the same kv", () => {
    const kv = new Map<string, string>();
    const clock = new ManualClock();
    new KeyValueStore({ kv, clock });
    expect(() => new KeyValueStore({ kv, clock, keyPrefix: "other" })).not.toThrow();
    expect(() => new KeyValueStore({ kv })).toThrow(/^Expected `clock` to be that of the other stores of this `kv`/);
  });

  it("rejects a name that is, with the keyPrefix, longer than what keys are listed by", () => {
    const store = new KeyValueStore({ kv: new Map(), keyPrefix: "ключ" });
    expect(() => new AsyncRateLimiter({ ...LIMIT, name: "n".repeat(54), store })).not.toThrow();
    expect(() => new AsyncRateLimiter({ ...LIMIT, name: "n".repeat(55), store })).toThrow(
      /^Expected `name` to be at most 62 bytes with the `keyPrefix`/,
    );
  });

  it("keeps one text for each key, under a key of hexadecimal digits, until its newest call has expired", async () => {
    const kv = { ...simpleKeyValue(), set: vi.fn() };
    const clock = new ManualClock(1000);
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv, clock }) });
    await limiter.check("Ada:1/ё");
    expect(kv.set.mock.calls).toEqual([
      [key("Ada:1/ё"), expect.stringMatching(/^sg1\.[0-9a-z]+\.rs\.255s0\.\.rs\.$/), 3_600_000],
    ]);
  });

  it("shortens a long key to less than a file name, and keeps keys apart that differ in their last character", async () => {
    const kv = new Map<string, string>();
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv }) });
    await Promise.all(["a", "b", "b"].map((end) => limiter.check("k".repeat(1023) + end)));
    expect(kv.size).toBe(2);
    for (const at of kv.keys()) {
      expect(at).toMatch(/^[0-9a-f]{128}h[0-9a-f]{64}$/);
      expect(at.startsWith(key(""))).toBe(true);
    }
    await limiter.reset();
    expect(kv.size).toBe(0);
  });

  it("writes nothing for a refusal, a peek and a state", async () => {
    const kv = simpleKeyValue();
    const set = vi.spyOn(kv as { set: KeyValue["set"] }, "set");
    const store = new KeyValueStore({ kv, denyCache: false });
    const limiter = new AsyncRateLimiter({ ...LIMIT, maxCalls: 1, store });
    await limiter.check("ada");
    for (let calls = 0; calls < 3; calls += 1) expect((await limiter.check("ada")).allowed).toBe(false);
    await limiter.peek("ada");
    await limiter.state("ada");
    expect(set).toHaveBeenCalledTimes(1);
  });

  it("decides the calls of a key that wait together by one read and one write", async () => {
    const { kv, next, waiting } = heldKeyValue();
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv }) });
    const first = limiter.isAllowed("ada");
    const others = [1, 2, 3, 4].map(() => limiter.isAllowed("ada"));
    for (const name of ["get", "set", "get", "set"]) await next(name);
    expect(await Promise.all([first, ...others])).toEqual([true, true, true, false, false]);
    expect(waiting).toEqual([]);
  });

  it("rejects with a StoreError whatever else it finds at a key, and leaves it there", async () => {
    const kv = new Map<string, unknown>();
    const store = new KeyValueStore({ kv: kv as Map<string, string>, whenDown: "local" });
    const limiter = new AsyncRateLimiter({ ...LIMIT, store });
    for (const found of ["", "1", 7, { calls: 1 }, "sg2.1.1.1...", "sg1.1.1.1..1,.", "[1,2]"]) {
      kv.set(key("ada"), found);
      await expect(limiter.check("ada")).rejects.toThrow(StoreError);
      await expect(limiter.isAllowed("ada")).rejects.toThrow("was not written by this version of sluicegate");
      expect(kv.get(key("ada"))).toBe(found);
    }
    expect(await limiter.isAllowed("ben")).toBe(true);
    await limiter.reset("ada");
    expect(await limiter.isAllowed("ada")).toBe(true);
  });

  it("rejects with the cause if an operation fails, records what was written, and goes on", async () => {
    const { kv, next } = heldKeyValue();
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv, onStoreError: () => undefined }) });
    const unread = limiter.check("ada");
    await next("get", new TypeError("fetch failed"));
    await expect(unread).rejects.toMatchObject({ code: "STORE_ERROR", cause: { message: "fetch failed" } });
    const unwritten = limiter.check("ada");
    await next("get");
    await next("set", new Error("disk full"));
    await expect(unwritten).rejects.toMatchObject({ code: "STORE_ERROR", cause: { message: "disk full" } });
    const written = limiter.check("ada");
    await next("get");
    await next("set");
    expect((await written).remaining).toBe(2);
  });

  it("lets whenDown decide while operations fail", async () => {
    const kv = { ...simpleKeyValue(), get: () => Promise.reject(new Error("down")) };
    const onStoreError = () => undefined;
    const allow = new KeyValueStore({ kv, whenDown: "allow", onStoreError });
    const local = new KeyValueStore({ kv, whenDown: "local", keyPrefix: "other", onStoreError });
    const limiters = [allow, local].map((store) => new AsyncRateLimiter({ ...LIMIT, maxCalls: 1, store }));
    for (const allowed of [true, false]) {
      expect(await limiters[0]!.check("ada")).toMatchObject({ allowed: true, source: "fallback" });
      expect(await limiters[1]!.check("ada")).toMatchObject({ allowed, source: "fallback" });
    }
  });

  it("says why it cannot reset all keys if kv cannot list them", async () => {
    const store = new KeyValueStore({ kv: { ...simpleKeyValue(), keys: undefined as never } });
    const limiter = new AsyncRateLimiter({ ...LIMIT, store });
    await expect(limiter.reset()).rejects.toThrow(/needs a `kv` with the method `keys`/);
    await limiter.reset("ada");
  });

  it("resets keys whose first write is under way", async () => {
    const { kv, next, texts } = heldKeyValue();
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv }) });
    const check = limiter.check("ada");
    await next("get");
    const reset = limiter.reset();
    await next("keys");
    await next("set");
    await check;
    await next("delete");
    await reset;
    expect(texts.size).toBe(0);
  });
});

describe("a KeyValueStore whose write hangs", () => {
  const hung = (operation: "get" | "set") => {
    const held = heldKeyValue();
    const store = new KeyValueStore({ kv: held.kv, timeout: "100ms", onStoreError: () => undefined });
    const limiter = new AsyncRateLimiter({ ...LIMIT, store });
    const hang = async (): Promise<void> => {
      const check = limiter.check("ada");
      if (operation === "set") await held.next("get");
      await expect(check).rejects.toMatchObject({ code: "STORE_ERROR" });
    };
    return { ...held, limiter, hang };
  };

  it("fails further calls of its key at once, also a reset, and serves other keys, until the write settles", async () => {
    const { limiter, hang, next, waiting } = hung("set");
    await hang();
    const hanging = waiting.shift()!;
    for (let calls = 0; calls < 5; calls += 1) {
      await expect(limiter.check("ada")).rejects.toThrow(/^An earlier call of this key hangs/);
    }
    await expect(limiter.reset("ada")).rejects.toThrow(/^An earlier call of this key hangs/);
    expect(waiting).toEqual([]);
    const other = limiter.isAllowed("ben");
    await next("get");
    await next("set");
    expect(await other).toBe(true);
    hanging.settle();
    await new Promise(setImmediate);
    const check = limiter.check("ada");
    await next("get");
    await next("set");
    // The call whose write took place late is counted, and that is all that is.
    expect((await check).remaining).toBe(1);
  });

  it("writes nothing for a call whose read settles after its deadline", async () => {
    const { limiter, hang, next, texts } = hung("get");
    await hang();
    await next("get");
    await new Promise(setImmediate);
    expect(texts.size).toBe(0);
    const check = limiter.check("ada");
    await next("get");
    await next("set");
    expect((await check).remaining).toBe(2);
  });

  it("fails calls that wait behind it when their own time is over, and never reads or writes for them", async () => {
    const { limiter, next, texts, waiting } = hung("set");
    const first = limiter.check("ada");
    await next("get");
    const behind = limiter.check("ada");
    for (const call of [first, behind]) await expect(call).rejects.toMatchObject({ code: "STORE_ERROR" });
    await next("set");
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect([texts.size, waiting]).toEqual([1, []]);
  });
});

describe("a KeyValueStore with compareAndSet", () => {
  it("decides again if another process has changed the key meanwhile", async () => {
    const shared = versions();
    const processes = [0, 1, 2, 3].map(
      () =>
        new AsyncRateLimiter({
          ...LIMIT,
          maxCalls: 10,
          store: new KeyValueStore({ kv: versionedKeyValue(undefined, shared) }),
        }),
    );
    const calls = Array.from({ length: 40 }, (_, at) => processes[at % 4]!.isAllowed("ada"));
    expect((await Promise.all(calls)).filter(Boolean)).toHaveLength(10);
    expect(shared.conflicts).toBeGreaterThan(0);
  });

  it("gives up after 20 tries, and has recorded nothing then", async () => {
    const kv = versionedKeyValue();
    const compareAndSet = vi.fn(() => false);
    const store = new KeyValueStore({ kv: { ...kv, compareAndSet }, onStoreError: () => undefined });
    const limiter = new AsyncRateLimiter({ ...LIMIT, store });
    await expect(limiter.check("ada")).rejects.toThrow("Other processes changed the key at each of 20 tries");
    expect(compareAndSet).toHaveBeenCalledTimes(20);
  });

  it.each<[string, VersionedKeyValue["get"]]>([
    ["nothing", () => undefined],
    ["null", () => null],
    ["a value of null with a version", () => ({ value: null, version: null })],
  ])("takes %s for a key without calls", async (_what, get) => {
    const compareAndSet = vi.fn(() => true);
    const store = new KeyValueStore({ kv: { get, compareAndSet, delete: () => undefined } });
    expect((await new AsyncRateLimiter({ ...LIMIT, store }).check("ada")).remaining).toBe(2);
  });

  it("rejects a text without a version", async () => {
    const kv = { ...versionedKeyValue(), get: () => "sg1.1.1.1..." as never };
    const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv }) });
    await expect(limiter.check("ada")).rejects.toThrow("must return `{ value, version }`");
  });

  it("does not undo a reset of another process", async () => {
    const shared = versions();
    let release = (): void => undefined;
    const released = new Promise<void>((resolve) => (release = resolve));
    const slow = versionedKeyValue(undefined, shared);
    const get: VersionedKeyValue["get"] = async (at) => {
      const found = await slow.get(at);
      await released;
      return found;
    };
    const [one, other] = [{ ...slow, get }, versionedKeyValue(undefined, shared)].map(
      (kv) => new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv }) }),
    );
    await other!.check("ada", { cost: 2 });
    const check = one!.check("ada");
    await other!.reset("ada");
    release();
    expect((await check).remaining).toBe(2);
  });
});

describe("the time of a KeyValueStore", () => {
  const at = (clock: ManualClock, shared = versions()) =>
    new AsyncRateLimiter({
      ...LIMIT,
      period: "1m",
      maxCalls: 2,
      store: new KeyValueStore({ kv: versionedKeyValue(undefined, shared), clock }),
    });

  it("is the wall clock, whose whole milliseconds are rounded to both sides", async () => {
    vi.useFakeTimers({ toFake: ["Date"], now: 5000 });
    try {
      const kv = new Map<string, string>();
      const limiter = new AsyncRateLimiter({ ...LIMIT, store: new KeyValueStore({ kv, denyCache: false }) });
      expect((await limiter.check("ada")).resetAfterMs).toBe(3_600_001);
      expect(await limiter.state("ada")).toMatchObject({ calls: 1, lastReset: 5000 - 3_600_000 });
      vi.setSystemTime(3_605_000);
      expect((await limiter.state("ada")).calls).toBe(1);
      vi.setSystemTime(3_605_001);
      expect((await limiter.state("ada")).calls).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it("never goes back before the latest change of a key, in a process whose clock is behind", async () => {
    const shared = versions();
    const [ahead, behind] = [new ManualClock(100_000), new ManualClock(70_000)];
    const [first, second] = [at(ahead, shared), at(behind, shared)];
    await first.check("ada", { cost: 2 });
    expect(await second.check("ada")).toMatchObject({ allowed: false, retryAfterMs: 60_000 });
    // A caller of the process behind waits longer, by the difference of the clocks at most.
    behind.advance("89999ms");
    expect((await second.check("ada")).allowed).toBe(false);
    behind.advance("1ms");
    expect((await second.check("ada")).allowed).toBe(true);
  });

  it("ignores a timestamp that is further ahead than the longest period, and a lock that began further ahead than that and than it is long", async () => {
    const shared = versions();
    const [wrong, right] = [at(new ManualClock(10_000_000), shared), at(new ManualClock(0), shared)];
    await wrong.check("ada", { cost: 2 });
    await wrong.lock("ada", "5m");
    expect(await right.check("ada")).toMatchObject({ allowed: true, remaining: 1, lockedForMs: 0 });
    await wrong.lock("ben", "5h");
    expect(await right.check("ben")).toMatchObject({ allowed: false, refusedBy: "lock" });
  });

  it("keeps a lock that is shorter than the clock of its process is behind that of the latest change", async () => {
    const shared = versions();
    const [ahead, behind] = [at(new ManualClock(100_000), shared), at(new ManualClock(95_000), shared)];
    await ahead.check("ada");
    await behind.lock("ada", "1s");
    expect(await behind.check("ada")).toMatchObject({ allowed: false, refusedBy: "lock", lockedForMs: 1000 });
  });
});
