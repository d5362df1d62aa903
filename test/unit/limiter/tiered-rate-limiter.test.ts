import { describe, expect, it } from "vitest";
import {
  AsyncRateLimiter,
  MemoryStore,
  TieredRateLimiter,
  type TieredRateLimiterOptions,
  USER_TIERS,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import { coded } from "../../support/coded.js";

const tiers = { free: { maxCalls: 1, period: "1m" }, premium: { maxCalls: 2, period: "1m" } } as const;

describe("a tiered limiter", () => {
  it("limits each tier by its own limit, and keeps a history for each", async () => {
    const limiter = new TieredRateLimiter({ tiers, clock: new ManualClock() });
    expect([await limiter.isAllowed("ada", "free"), await limiter.isAllowed("ada", "free")]).toEqual([true, false]);
    // Upgraded: a full limit there, and the old history on return.
    expect((await limiter.check("ada", "premium")).remaining).toBe(1);
    expect(limiter.checkSync("ada", "premium").allowed).toBe(true);
    expect((await limiter.peek("ada", "premium")).allowed).toBe(false);
    expect((await limiter.peek("ada", "free")).allowed).toBe(false);
    expect((await limiter.state("ada", "premium")).calls).toBe(2);
    await expect(limiter.acquire("ada", "premium", { timeout: "1s" })).rejects.toMatchObject({
      code: "RATE_LIMIT_EXCEEDED",
    });
  });

  it("forgets a key in one tier, a key in all tiers, or all keys", async () => {
    const limiter = new TieredRateLimiter({ tiers });
    const fill = async (): Promise<void> => {
      for (const key of ["ada", "grace"]) {
        for (const tier of ["free", "premium"] as const) await limiter.check(key, tier);
      }
    };
    const calls = async (): Promise<number[]> => {
      const states = [
        limiter.state("ada", "free"),
        limiter.state("ada", "premium"),
        limiter.state("grace", "free"),
        limiter.state("grace", "premium"),
      ];
      return (await Promise.all(states)).map((state) => state.calls);
    };
    await fill();
    await limiter.reset("ada", "free");
    expect(await calls()).toEqual([0, 1, 1, 1]);
    await limiter.reset("ada");
    expect(await calls()).toEqual([0, 0, 1, 1]);
    await limiter.reset();
    expect(await calls()).toEqual([0, 0, 0, 0]);
    await expect(limiter.reset(undefined as unknown as string)).rejects.toThrow(TypeError);
    await expect(limiter.reset("ada", "gold" as "free")).rejects.toThrow(RangeError);
    await expect(limiter.reset("ada", undefined as unknown as "free")).rejects.toThrow(TypeError);
  });

  it("refunds whatever the tier", async () => {
    const limiter = new TieredRateLimiter({ tiers });
    const decision = await limiter.check("ada", "premium", { cost: 2 });
    expect([await limiter.refund(decision), await limiter.refund(decision)]).toEqual([true, false]);
    expect((await limiter.peek("ada", "premium")).remaining).toBe(2);
    await expect(limiter.refund({ ...decision })).rejects.toThrow(TypeError);
  });

  it("is one AsyncRateLimiter for each tier, in one store, called name/tier", async () => {
    const store = new MemoryStore();
    const limiter = new TieredRateLimiter({ tiers: USER_TIERS, store, name: "api" });
    const premium = limiter.tier("premium");
    expect(premium).toBeInstanceOf(AsyncRateLimiter);
    expect([premium.name, premium.limits]).toEqual(["api/premium", [{ maxCalls: 1000, periodMs: 3_600_000 }]]);
    await limiter.check("ada", "premium");
    await limiter.check("ada", "free");
    expect(store.size).toBe(2);
    expect((await premium.state("ada")).calls).toBe(1);
    expect(() => new TieredRateLimiter({ tiers: USER_TIERS, store, name: "api" })).toThrow("api/free");
  });

  it("passes mode, bypass and onDecision on to every tier", async () => {
    const heard: string[] = [];
    const shadow = new TieredRateLimiter({ tiers, mode: "shadow", onDecision: (_, key) => heard.push(key) });
    expect((await shadow.check("ada", "free", { cost: 2 })).shadowed).toBe(true);
    expect(heard).toEqual(["ada"]);
    const open = new TieredRateLimiter({ tiers, bypass: (key) => key === "staff" });
    expect((await open.check("staff", "free", { cost: 9 })).bypassed).toBe(true);
  });

  it.each(["gold", "__proto__", "constructor", ""])(
    "of an unknown tier %j is an error that names those there are",
    async (tier) => {
      const limiter = new TieredRateLimiter({ tiers });
      const wrong = tier as "free";
      const message = `Expected \`tier\` to be "free" or "premium", got \`${tier}\` (string)`;
      for (const call of [
        limiter.isAllowed("ada", wrong),
        limiter.check("ada", wrong),
        limiter.peek("ada", wrong),
        limiter.state("ada", wrong),
        limiter.acquire("ada", wrong),
      ]) {
        await expect(call).rejects.toThrow(coded(new RangeError(message)));
      }
      expect(() => limiter.checkSync("ada", wrong)).toThrow(RangeError);
      expect(() => limiter.tier(wrong)).toThrow(RangeError);
      expect(() => limiter.tier(undefined as unknown as "free")).toThrow(TypeError);
    },
  );

  it.each([
    [{}, RangeError],
    [undefined, TypeError],
    [[], TypeError],
    [{ free: undefined }, TypeError],
    [{ free: { maxCalls: 1 } }, TypeError],
    [{ free: { maxCalls: 1, period: 1, name: "x" } }, TypeError],
    [{ "a:b": { maxCalls: 1, period: 1 } }, RangeError],
    [{ "": { maxCalls: 1, period: 1 } }, RangeError],
  ])("made of %o is an error", (wrong, kind) => {
    expect(() => new TieredRateLimiter({ tiers: wrong } as unknown as TieredRateLimiterOptions<"free">)).toThrow(kind);
  });

  it("that could not be made has taken no name of a store", () => {
    const store = new MemoryStore();
    const wrong = { free: tiers.free, pro: { maxCalls: -1, period: 1 } };
    expect(() => new TieredRateLimiter({ tiers: wrong, store })).toThrow(RangeError);
    expect(() => new TieredRateLimiter({ tiers, store })).not.toThrow();
  });

  it("has types of its tiers and keys", () => {
    // @ts-expect-error -- there is no gold
    const wide = new TieredRateLimiter<"free" | "premium" | "gold">({ tiers });
    expect(() => wide.tier("gold")).toThrow(RangeError);
    const limiter = new TieredRateLimiter<keyof typeof tiers, `user:${string}`>({ tiers });
    // @ts-expect-error -- misspelt
    expect(() => limiter.tier("premum")).toThrow(RangeError);
    // @ts-expect-error -- a key of another kind
    void limiter.isAllowed("guest:1", "free");
    const inferred = new TieredRateLimiter({ tiers: USER_TIERS });
    // @ts-expect-error -- no such tier
    expect(() => inferred.tier("gold")).toThrow(RangeError);
  });
});
