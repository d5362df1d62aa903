import { afterEach, describe, expect, it, vi } from "vitest";
import { AsyncRateLimiter, type Bypass, testingBypass } from "../../../src/index.js";

const limit = { maxCalls: 1, period: "1m" } as const;

async function isOpen(limiter: AsyncRateLimiter): Promise<boolean> {
  await limiter.reset();
  return (await limiter.isAllowed("ada")) && (await limiter.isAllowed("ada"));
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("the bypass", () => {
  it("obeys TESTING=1 live, at every call", async () => {
    const limiter = new AsyncRateLimiter(limit);
    expect(await isOpen(limiter)).toBe(false);
    vi.stubEnv("TESTING", "1");
    expect(await isOpen(limiter)).toBe(true);
    vi.stubEnv("TESTING", "");
    expect(await isOpen(limiter)).toBe(false);
  });

  it.each(["0", "true", "yes", "", " 1"])("takes TESTING=%j as unset", async (value) => {
    vi.stubEnv("TESTING", value);
    expect(await isOpen(new AsyncRateLimiter(limit))).toBe(false);
  });

  it("is never read by a limiter constructed under NODE_ENV=production", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const limiter = new AsyncRateLimiter(limit);
    vi.stubEnv("NODE_ENV", "test");
    vi.stubEnv("TESTING", "1");
    expect(await isOpen(limiter)).toBe(false);
  });

  it("is forced under production by bypass: testingBypass", async () => {
    vi.stubEnv("NODE_ENV", "production");
    const limiter = new AsyncRateLimiter({ ...limit, bypass: testingBypass });
    vi.stubEnv("TESTING", "1");
    expect(await isOpen(limiter)).toBe(true);
  });

  it("is shut by bypass: false", async () => {
    vi.stubEnv("TESTING", "1");
    expect(await isOpen(new AsyncRateLimiter({ ...limit, bypass: false }))).toBe(false);
  });

  it("is replaced by a function of the key, an allow-list for one", async () => {
    const limiter = new AsyncRateLimiter({ ...limit, bypass: (key) => key === "monitoring" });
    vi.stubEnv("TESTING", "1");
    await limiter.isAllowed("ada");
    expect(await limiter.isAllowed("ada")).toBe(false);
    await limiter.isAllowed("monitoring");
    expect(await limiter.isAllowed("monitoring")).toBe(true);
  });

  it("is not opened by a function that answers with a promise or any other truthy value", async () => {
    for (const answer of [Promise.resolve(false), "no", 1, {}, undefined]) {
      const bypass = (() => answer) as unknown as Bypass<string>;
      await expect(new AsyncRateLimiter({ ...limit, bypass }).isAllowed("ada")).rejects.toThrow(
        /^Expected `bypass\(key\)` to be a boolean, and no promise of one, got /,
      );
    }
  });

  it("that rejects, where it should have answered, is a TypeError and no unhandled rejection", async () => {
    const bypass = (() => Promise.reject(new Error("late"))) as unknown as Bypass<string>;
    await expect(new AsyncRateLimiter({ ...limit, bypass }).check("ada")).rejects.toThrow(TypeError);
    await new Promise((resolve) => setImmediate(resolve));
  });

  it("rejects with what a function throws", async () => {
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

  it("validates key and cost first", async () => {
    vi.stubEnv("TESTING", "1");
    const limiter = new AsyncRateLimiter(limit);
    await expect(limiter.isAllowed(undefined as unknown as string)).rejects.toThrow(TypeError);
    await expect(limiter.check("ada", { cost: 0 })).rejects.toThrow(RangeError);
  });

  it("gives the answer a fresh key would get, asks neither store nor clock, and records nothing", async () => {
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
      expect(await limiter.peek("ada")).toEqual({ ...(await fresh.peek("nobody")), ...like });
    }
    expect(readings).toBe(0);
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("lets through what the limit could never let through", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 0, period: "1m", bypass: () => true });
    expect(await limiter.check("ada", { cost: 9 })).toMatchObject({ allowed: true, remaining: 0, retryAfterMs: 0 });
  });

  it("counts as unset where there is no process", async () => {
    vi.stubGlobal("process", undefined);
    const limiter = new AsyncRateLimiter(limit);
    expect(await isOpen(limiter)).toBe(false);
    expect(testingBypass()).toBe(false);
  });

  it("counts as unset where reading the environment is refused, as Deno does without the permission", async () => {
    const refused = {
      get env(): never {
        throw new Error("Requires env access");
      },
    };
    vi.stubGlobal("process", refused);
    expect(await isOpen(new AsyncRateLimiter(limit))).toBe(false);
  });
});
