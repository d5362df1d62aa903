import { afterEach, describe, expect, it, vi } from "vitest";
import { AsyncRateLimiter, type Bypass, testingBypass } from "../../../src/index.js";

const limit = { maxCalls: 1, period: "1m" } as const;

async function isBypassed(limiter: AsyncRateLimiter): Promise<boolean> {
  await limiter.reset();
  return (await limiter.isAllowed("ada")) && (await limiter.isAllowed("ada"));
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("the bypass", () => {
  it("reads TESTING at each call", async () => {
    const limiter = new AsyncRateLimiter(limit);
    expect(await isBypassed(limiter)).toBe(false);
    vi.stubEnv("TESTING", "1");
    expect(await isBypassed(limiter)).toBe(true);
    vi.stubEnv("TESTING", "");
    expect(await isBypassed(limiter)).toBe(false);
  });

  it.each(["0", "true", "yes", "", " 1"])("is inactive if TESTING is %j", async (value) => {
    vi.stubEnv("TESTING", value);
    expect(await isBypassed(new AsyncRateLimiter(limit))).toBe(false);
  });

  it("is inactive in a limiter that was constructed with NODE_ENV=production", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const limiter = new AsyncRateLimiter(limit);
    vi.stubEnv("NODE_ENV", "test");
    vi.stubEnv("TESTING", "1");
    expect(await isBypassed(limiter)).toBe(false);
  });

  it("reads TESTING in production if bypass is testingBypass", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const limiter = new AsyncRateLimiter({ ...limit, bypass: testingBypass });
    vi.stubEnv("TESTING", "1");
    expect(await isBypassed(limiter)).toBe(true);
  });

  it("is inactive if bypass is false", async () => {
    vi.stubEnv("TESTING", "1");
    expect(await isBypassed(new AsyncRateLimiter({ ...limit, bypass: false }))).toBe(false);
  });

  it("can be a function of the key", async () => {
    const limiter = new AsyncRateLimiter({ ...limit, bypass: (key) => key === "monitoring" });
    vi.stubEnv("TESTING", "1");
    await limiter.isAllowed("ada");
    expect(await limiter.isAllowed("ada")).toBe(false);
    await limiter.isAllowed("monitoring");
    expect(await limiter.isAllowed("monitoring")).toBe(true);
  });

  it("rejects with a TypeError if the function does not return a boolean", async () => {
    for (const result of [Promise.resolve(false), "no", 1, {}, undefined]) {
      const bypass = (() => result) as unknown as Bypass<string>;
      await expect(new AsyncRateLimiter({ ...limit, bypass }).isAllowed("ada")).rejects.toThrow(
        /^Expected `bypass\(key\)` to be a boolean, and no promise of one, got /,
      );
    }
  });

  it("rejects with a TypeError, and leaves no rejection unhandled, if the function returns a promise that rejects", async () => {
    const bypass = (() => Promise.reject(new Error("late"))) as unknown as Bypass<string>;
    await expect(new AsyncRateLimiter({ ...limit, bypass }).check("ada")).rejects.toThrow(TypeError);
    await new Promise((resolve) => setImmediate(resolve));
  });

  it("rejects with a TypeError whose cause is the error that the function throws", async () => {
    const limiter = new AsyncRateLimiter({
      ...limit,
      bypass: () => {
        throw new Error("list not loaded");
      },
    });
    await expect(limiter.check("ada")).rejects.toMatchObject({
      name: "TypeError",
      cause: expect.objectContaining({ message: "list not loaded" }) as Error,
    });
  });

  it("is read after key and cost are validated", async () => {
    vi.stubEnv("TESTING", "1");
    const limiter = new AsyncRateLimiter(limit);
    await expect(limiter.isAllowed(undefined as unknown as string)).rejects.toThrow(TypeError);
    await expect(limiter.check("ada", { cost: 0 })).rejects.toThrow(RangeError);
  });

  it("decides as for a new key, without the store and the clock, and records nothing", async () => {
    let readings = 0;
    const clock = { now: () => (readings += 1) };
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1m", bypass: () => true, clock });
    const fresh = new AsyncRateLimiter({ maxCalls: 3, period: "1m", bypass: false });
    const like = { bypassed: true, source: "bypass" };
    for (let call = 0; call < 5; call += 1) {
      expect(await limiter.check("ada", { cost: 2 })).toEqual({
        ...(await fresh.check(`fresh ${String(call)}`, { cost: 2 })),
        ...like,
        resetAfterMs: 60_000,
        layers: [expect.objectContaining({ remaining: 1, retryAfterMs: 0, resetAfterMs: 60_000 })],
      });
      expect(await limiter.peek("ada")).toEqual({ ...(await fresh.peek("unused")), ...like });
    }
    expect(readings).toBe(0);
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("allows a call whose cost exceeds the limit", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 0, period: "1m", bypass: () => true });
    expect(await limiter.check("ada", { cost: 9 })).toMatchObject({ allowed: true, remaining: 0, retryAfterMs: 0 });
  });

  it("is inactive without a global process", async () => {
    vi.stubGlobal("process", undefined);
    const limiter = new AsyncRateLimiter(limit);
    expect(await isBypassed(limiter)).toBe(false);
    expect(testingBypass()).toBe(false);
  });

  it("is inactive if the runtime denies access to the environment, as Deno does without permission", async () => {
    const refused = {
      get env(): never {
        throw new Error("Requires env access");
      },
    };
    vi.stubGlobal("process", refused);
    expect(await isBypassed(new AsyncRateLimiter(limit))).toBe(false);
  });
});
