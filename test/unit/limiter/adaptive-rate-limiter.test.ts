import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import {
  AdaptiveRateLimiter,
  type AdaptiveRateLimiterOptions,
  allOf,
  AsyncRateLimiter,
  type LoadSource,
  MemoryStore,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { type Admission, Model } from "../../support/model.js";

const limit = { baseMaxCalls: 10, period: "1s" } as const;

function made(options: Partial<AdaptiveRateLimiterOptions> = {}) {
  const clock = new ManualClock();
  const limiter = new AdaptiveRateLimiter({ ...limit, clock, bypass: false, ...options } as AdaptiveRateLimiterOptions);
  return { clock, limiter };
}

/** A source whose factor is set by hand, and which notes the reports that it gets. */
class HandSource implements LoadSource {
  readonly intervalMs = 25;
  readonly reports: number[] = [];
  readonly listeners = new Set<(factor: number) => void>();
  factor = 1;

  listen(listener: (factor: number) => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  report(used: number): void {
    this.reports.push(used);
  }

  set(factor: unknown): void {
    this.factor = factor as number;
    for (const listener of this.listeners) listener(this.factor);
  }
}

describe("a limit adjusted by hand", () => {
  it.each([
    [0, 0, 1],
    [0.6, 0.7, 1],
    [0.61, 0, 0.7],
    [0, 0.71, 0.7],
    [0.8, 0.9, 0.7],
    [0.81, 0, 0.5],
    [0, 0.91, 0.5],
    [1, 1, 0.5],
  ])("at a load of %d and %d is %d of its base", (cpu, memory, factor) => {
    const { limiter } = made();
    limiter.adjustForLoad(cpu, memory);
    expect([limiter.loadFactor, limiter.maxCalls, limiter.baseMaxCalls]).toEqual([factor, factor * 10, 10]);
    expect(limiter.limits).toEqual([{ maxCalls: factor * 10, periodMs: 1000, ...(factor < 1 && { reducedFrom: 10 }) }]);
  });

  it("is full until it is adjusted, and full again when the load is gone", () => {
    const { limiter } = made();
    expect([limiter.loadFactor, limiter.maxCalls]).toEqual([1, 10]);
    limiter.adjustForLoad(0.9, 0.1);
    limiter.adjustForLoad(0.1, 0.1);
    expect([limiter.loadFactor, limiter.maxCalls]).toEqual([1, 10]);
  });

  it.each([
    [1, 0.5, 1],
    [1, 0, 1],
    [3, 0.5, 1],
    [100, 0.29, 29],
    [10, 0, 1],
    [0, 0.5, 0],
    [0, 1, 0],
  ])("of a base of %d at %d lets %d pass: never 0, where the base is not", (baseMaxCalls, factor, maxCalls) => {
    const { limiter } = made({ baseMaxCalls, curve: () => factor });
    limiter.adjustForLoad(1, 1);
    expect(limiter.maxCalls).toBe(maxCalls);
  });

  it("follows a curve of its own", () => {
    const { limiter } = made({ curve: ({ cpuUsage, memoryUsage }) => 1 - Math.max(cpuUsage, memoryUsage) / 2 });
    limiter.adjustForLoad(0.4, 0.2);
    expect(limiter.maxCalls).toBe(8);
  });

  it.each([
    [85, 0.5, RangeError, "Expected `cpuUsage` to be a fraction from 0 to 1, got `85` (number)"],
    [0.5, -0.1, RangeError, "Expected `memoryUsage` to be a fraction from 0 to 1, got `-0.1` (number)"],
    [NaN, 0, RangeError, "`cpuUsage`"],
    [0, Infinity, RangeError, "`memoryUsage`"],
    ["0.9", 0, TypeError, "Expected `cpuUsage` to be a fraction from 0 to 1, got `0.9` (string)"],
    [0, undefined, TypeError, "`memoryUsage`"],
  ])("is not changed by a load of %o and %o", (cpu, memory, kind, message) => {
    const { limiter } = made();
    limiter.adjustForLoad(0.7, 0);
    const adjust = () => limiter.adjustForLoad(cpu as number, memory as number);
    expect(adjust).toThrow(kind);
    expect(adjust).toThrow(message);
    expect(limiter.loadFactor).toBe(0.7);
  });

  it.each([NaN, -0.5, 1.5, "0.5", undefined])("is not changed by a curve that returns %o", (factor) => {
    const { limiter } = made({ curve: () => factor as number });
    expect(() => limiter.adjustForLoad(0.5, 0.5)).toThrow("Expected `curve(load)` to be a fraction from 0 to 1");
    expect(limiter.maxCalls).toBe(10);
  });
});

describe("a decision of a reduced limit", () => {
  it("has nothing remaining after a reduction below what is used, and has the wait for the limit in force", async () => {
    const { clock, limiter } = made();
    for (let call = 0; call < 8; call += 1) {
      clock.advance("10ms");
      await limiter.check("ada");
    }
    limiter.adjustForLoad(0.9, 0);
    const refused = await limiter.check("ada");
    expect(refused).toMatchObject({ allowed: false, remaining: 0, retryAfterMs: 960 });
    clock.set(clock.now() + 959);
    expect(await limiter.isAllowed("ada")).toBe(false);
    clock.advance("1ms");
    expect(await limiter.isAllowed("ada")).toBe(true);
  });

  it("is reduced if the full limit would allow the call", async () => {
    const { limiter } = made();
    for (let call = 0; call < 5; call += 1) await limiter.check("ada");
    limiter.adjustForLoad(0.9, 0);
    expect(await limiter.check("ada")).toMatchObject({
      allowed: false,
      reduced: true,
      reason: "Reduced rate limit exceeded",
      limit: { maxCalls: 5, reducedFrom: 10 },
      layers: [{ maxCalls: 5, remaining: 0, reducedFrom: 10 }],
    });
  });

  it("is not reduced if the full limit would refuse the call as well, or if the call is allowed", async () => {
    const { limiter } = made();
    for (let call = 0; call < 10; call += 1) await limiter.check("ada");
    limiter.adjustForLoad(0.9, 0);
    expect(await limiter.check("ada")).toMatchObject({ reduced: false, reason: "Rate limit exceeded" });
    expect(await limiter.check("eve")).toMatchObject({ reduced: false, allowed: true, remaining: 4 });
    limiter.adjustForLoad(0, 0);
    expect(await limiter.check("ada")).toMatchObject({ reduced: false, allowed: false });
  });

  it("has one layer in each decision", async () => {
    const { limiter } = made();
    limiter.adjustForLoad(0.9, 0);
    expect((await limiter.check("ada")).layers).toHaveLength(1);
    expect((await limiter.peek("ada")).layers).toHaveLength(1);
    expect(limiter.checkSync("ada").layers).toHaveLength(1);
  });

  it("has an infinite wait for a cost between the reduced and the full limit without a source, and the interval with one", async () => {
    const byHand = made().limiter;
    byHand.adjustForLoad(0.9, 0);
    expect(await byHand.check("ada", { cost: 6 })).toMatchObject({ retryAfterMs: Infinity, reduced: true });
    expect(await byHand.check("ada", { cost: 11 })).toMatchObject({ retryAfterMs: Infinity, reduced: false });
    const load = new HandSource();
    const { limiter, clock } = made({ load });
    await limiter.check("ada", { cost: 5 });
    load.set(0.5);
    expect(await limiter.check("ada", { cost: 6 })).toMatchObject({ retryAfterMs: 1000, reduced: false });
    expect(await limiter.check("eve", { cost: 6 })).toMatchObject({ retryAfterMs: 25, reduced: true });
    expect((await limiter.check("eve", { cost: 11 })).retryAfterMs).toBe(Infinity);
    clock.advance("1s");
    load.set(1);
    expect(await limiter.isAllowed("ada", { cost: 6 })).toBe(true);
  });

  it("is refused by load in allOf too", async () => {
    const store = new MemoryStore({ clock: new ManualClock() });
    const load = new AdaptiveRateLimiter({ ...limit, name: "load", store, bypass: false });
    const user = new AsyncRateLimiter({ maxCalls: 100, period: "1s", name: "user", store, bypass: false });
    const both = allOf({ load, user });
    load.adjustForLoad(0.9, 0);
    for (let call = 0; call < 5; call += 1) await both.check({ load: "all", user: "ada" });
    expect(await both.check({ load: "all", user: "ada" })).toMatchObject({ member: "load", reduced: true });
    expect((await user.state("ada")).calls).toBe(5);
  });

  it("a bypassed decision of a reduced limiter has the reduced limit in its layer", async () => {
    const { limiter } = made({ bypass: () => true });
    limiter.adjustForLoad(0.9, 0);
    const reduced = { maxCalls: 5, reducedFrom: 10 };
    expect(await limiter.check("ada")).toMatchObject({ bypassed: true, limit: reduced, layers: [reduced] });
  });

  it("is a refusal by capacity if the store is full and denies new keys", async () => {
    const store = new MemoryStore({ clock: new ManualClock(), maxKeys: 1, onFull: "deny" });
    const limiter = new AdaptiveRateLimiter({ ...limit, store, bypass: false });
    limiter.adjustForLoad(0.9, 0);
    await limiter.check("ada");
    expect(await limiter.check("eve")).toMatchObject({ reduced: false, refusedBy: "capacity" });
  });

  it("allows every call in shadow mode, with the cause that enforce mode would give", async () => {
    const { limiter } = made({ mode: "shadow" });
    limiter.adjustForLoad(0.9, 0);
    for (let call = 0; call < 5; call += 1) await limiter.check("ada");
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, shadowed: true, refusedBy: "load" });
  });
});

describe("acquire of an adaptive limiter", () => {
  it("resolves when a raised limit allows the call", async () => {
    const { limiter } = made();
    limiter.adjustForLoad(0.9, 0);
    for (let call = 0; call < 5; call += 1) await limiter.check("ada");
    const waiting = limiter.acquire("ada");
    limiter.adjustForLoad(0, 0);
    expect((await waiting).remaining).toBe(4);
  });

  it("waits for the next factor with a cost between the reduced and the full limit", async () => {
    const load = new HandSource();
    const { limiter } = made({ load });
    load.set(0.5);
    const waiting = limiter.acquire("ada", { cost: 6 });
    load.set(0.6);
    expect((await waiting).allowed).toBe(true);
  });
});

describe("a limiter with a load source", () => {
  it("starts with the current factor of the source", () => {
    const load = new HandSource();
    load.factor = 0.5;
    expect(made({ load }).limiter.maxCalls).toBe(5);
  });

  it("reports the used fraction of the base limit after every decision but those of peek and bypass", async () => {
    const load = new HandSource();
    const onDecision = vi.fn();
    const { limiter } = made({ load, onDecision, bypass: (key) => key === "staff" });
    await limiter.isAllowed("ada", { cost: 3 });
    limiter.checkSync("ada");
    await limiter.peek("ada");
    await limiter.check("staff");
    await limiter.acquire("eve");
    load.set(0.5);
    await limiter.check("ada", { cost: 5 });
    load.set(0.2);
    await limiter.check("ada");
    expect(load.reports).toEqual([0.3, 0.4, 0.1, 0.4, 0.4]);
    expect(onDecision).toHaveBeenCalledTimes(6);
  });

  it.each([NaN, 2, -1, "0.5", undefined])("ignores an invalid factor of %o, and warns", (factor) => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const load = new HandSource();
    const { limiter } = made({ load });
    load.set(0.5);
    load.set(factor);
    expect(limiter.maxCalls).toBe(5);
    expect(warned).toHaveBeenCalledOnce();
  });

  it("throws on adjustForLoad", () => {
    const { limiter } = made({ load: new HandSource() });
    expect(() => limiter.adjustForLoad(0.9, 0)).toThrow("Expected `load` to be absent for adjustForLoad");
  });

  it("stops listening when it is garbage-collected, without another factor of the source", async () => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const load = new HandSource();
    for (let count = 0; count < 100; count += 1) made({ load });
    const stays = made({ load }).limiter;
    // Finalizers run in a later task than the collection.
    for (let turn = 0; turn < 20 && load.listeners.size > 1; turn += 1) {
      collect();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    expect(load.listeners.size).toBe(1);
    load.set(0.5);
    expect(stays.maxCalls).toBe(5);
  });

  it.each([{}, null, 5, { factor: 1, intervalMs: 25, listen: () => undefined }])(
    "a load of %o is a TypeError",
    (load) => {
      expect(() => made({ load: load as never })).toThrow(
        "Expected `load` to be a LoadMonitor, or another load source",
      );
    },
  );
});

describe("an invalid option", () => {
  it.each([
    [{ baseMaxCalls: 2.5 }, "Expected `baseMaxCalls` to be a non-negative integer, got `2.5` (number)"],
    [{ baseMaxCalls: "9" }, "`baseMaxCalls`"],
    [{ period: 0 }, "`period`"],
    [{ curve: 0.5 }, "Expected `curve` to be a function, got `0.5` (number)"],
    [{ maxCalls: 5 }, "Expected `maxCalls` to be one of the options baseMaxCalls, period, load, curve, name"],
    [{ curve: () => 1, load: new HandSource() }, "Expected `curve` to be absent beside `load`"],
  ])("%o is refused", (options, message) => {
    expect(() => made(options as object)).toThrow(message);
  });
});

describe("while the limit moves between any two calls", () => {
  it("every decision equals that of a brute-force model at the limit in force", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("check" as const), cost: fc.integer({ min: 1, max: 9 }) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("move" as const), to: fc.integer({ min: 0, max: 20 }) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("refund" as const), which: fc.nat(5) }) },
      { weight: 3, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.nat(30) }) },
    );
    const run = fc.asyncProperty(
      fc.integer({ min: 0, max: 8 }),
      fc.boolean(),
      fc.array(step, { maxLength: 60 }),
      async (baseMaxCalls, isFollowing, steps) => {
        const load = new HandSource();
        let factor = 1;
        const { clock, limiter } = made({
          baseMaxCalls,
          period: "20ms",
          ...(isFollowing ? { load } : { curve: () => factor }),
        } as object);
        const model = new Model();
        const recorded: { decision: ReturnType<typeof limiter.checkSync>; admission: Admission | undefined }[] = [];
        const full = { maxCalls: baseMaxCalls, periodMs: 20 };
        for (const { do: what, ...given } of steps) {
          if ("ms" in given) clock.set(clock.now() + given.ms);
          if ("to" in given) {
            factor = given.to / 20;
            if (isFollowing) load.set(factor);
            else limiter.adjustForLoad(0, 0);
          }
          if ("which" in given) {
            const { decision, admission } = recorded.at(-1 - given.which) ?? {};
            if (decision === undefined) continue;
            const isLive = admission !== undefined && model.refund(admission, [20], clock.now());
            expect(await limiter.refund(decision)).toBe(isLive);
          }
          if (what !== "check" || !("cost" in given)) continue;
          const { cost } = given;
          const now = Math.min(baseMaxCalls, Math.max(1, Math.floor(baseMaxCalls * factor + 1e-9)));
          const atFull = model.peek("ada", [full], cost, clock.now());
          const before = model.admissions.length;
          const expected = model.check("ada", [{ maxCalls: now, periodMs: 20 }], cost, clock.now());
          const decision = limiter.checkSync("ada", { cost });
          const isLater = cost > now && cost <= baseMaxCalls;
          const review = isFollowing ? Math.max(25, atFull.retryAfterMs) : Infinity;
          expect(decision).toMatchObject({
            allowed: expected.allowed,
            remaining: expected.remaining,
            retryAfterMs: isLater ? review : expected.retryAfterMs,
            resetAfterMs: expected.resetAfterMs,
            reduced: !expected.allowed && atFull.allowed,
          });
          recorded.push({
            decision,
            admission: model.admissions.length > before ? model.admissions.at(-1) : undefined,
          });
        }
      },
    );
    await fc.assert(run, { numRuns: 500 });
  });
});
