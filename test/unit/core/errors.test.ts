import { describe, expect, it } from "vitest";
import {
  AdaptiveRateLimiter,
  AsyncRateLimiter,
  type Decision,
  MemoryStore,
  RateLimitExceededError,
  StoreError,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

describe("RateLimitExceededError", () => {
  it("has a code, a status, whole seconds to wait and the decision, and does not contain the key", async () => {
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "2s", clock });
    await limiter.check("ada@example.org");
    clock.advance("999ms");
    const decision = await limiter.check("ada@example.org");
    const error = new RateLimitExceededError(decision);
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: "RateLimitExceededError",
      code: "RATE_LIMIT_EXCEEDED",
      status: 429,
      statusCode: 429,
      retryAfter: 2,
      message: "Rate limit exceeded: retry after 2 s",
    });
    expect(error.decision).toBe(decision);
    expect(error.stack).toMatch(/^RateLimitExceededError: Rate limit exceeded/);
    expect(`${error.message} ${String(error.stack)}`).not.toContain("ada@example.org");
  });

  it("has a retryAfter of at most the window, rounded up to a second", async () => {
    const clock = new ManualClock(0.5);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", clock });
    await limiter.check("ada");
    const decision = await limiter.check("ada");
    expect(decision.retryAfterMs).toBe(3_600_001);
    expect(new RateLimitExceededError(decision)).toMatchObject({
      retryAfter: 3600,
      message: "Rate limit exceeded: retry after 3600 s",
    });
  });

  it("has the whole wait for capacity as retryAfter, even if it exceeds the window", async () => {
    const store = new MemoryStore({ maxKeys: 1, onFull: "deny", clock: new ManualClock() });
    await new AsyncRateLimiter({ maxCalls: 1, period: "1h", name: "long", store }).check("ada");
    const decision = await new AsyncRateLimiter({ maxCalls: 1, period: "1s", name: "short", store }).check("ben");
    expect(decision.refusedBy).toBe("capacity");
    expect(new RateLimitExceededError(decision).retryAfter).toBe(Math.ceil(decision.retryAfterMs / 1000));
  });

  it("has the status 503 if load or capacity refused the call, and 429 if the limit did", async () => {
    const adaptive = new AdaptiveRateLimiter({ baseMaxCalls: 2, period: "2s" });
    adaptive.adjustForLoad(1, 1);
    await adaptive.check("ada");
    const reduced = new RateLimitExceededError(await adaptive.check("ada"));
    expect(reduced).toMatchObject({ status: 503, statusCode: 503 });
    const full = new AsyncRateLimiter({
      maxCalls: 1,
      period: "2s",
      store: new MemoryStore({ maxKeys: 1, onFull: "deny" }),
    });
    await full.check("ada");
    expect(new RateLimitExceededError(await full.check("ben")).status).toBe(503);
    expect(new RateLimitExceededError(await full.check("ada")).status).toBe(429);
  });

  it("derives its status from refusedBy, and not from the text of the reason", async () => {
    const refused = await new AsyncRateLimiter({ maxCalls: 0, period: "2s" }).check("ada");
    const statusOf = (refusedBy: Decision["refusedBy"]): number =>
      new RateLimitExceededError({ ...refused, reason: "Key capacity exceeded", refusedBy }).status;
    expect([statusOf("limit"), statusOf("load"), statusOf("capacity")]).toEqual([429, 503, 503]);
  });

  it("accepts a message and a cause", async () => {
    const decision = await new AsyncRateLimiter({ maxCalls: 0, period: "2s" }).check("ada");
    const cause = new Error("inner");
    expect(new RateLimitExceededError(decision, { message: "Try again in an hour.", cause })).toMatchObject({
      message: "Try again in an hour.",
      cause,
    });
    expect("cause" in new RateLimitExceededError(decision)).toBe(false);
  });

  it("has an infinite retryAfter, and a message without one, if the cost exceeds the limit", async () => {
    const decision = await new AsyncRateLimiter({ maxCalls: 1, period: "2s" }).check("ada", { cost: 2 });
    expect(new RateLimitExceededError(decision)).toMatchObject({
      retryAfter: Infinity,
      message: "Rate limit exceeded: no wait can admit this call",
    });
  });
});

describe("the constructor of RateLimitExceededError", () => {
  it.each([undefined, null, false, "Too many", {}])("throws a TypeError for the decision %o", (decision) => {
    expect(() => new RateLimitExceededError(decision as Decision)).toThrow(
      /^Expected `decision` to be the decision that refused, got /,
    );
  });

  it("throws a TypeError for unknown options", async () => {
    const decision = await new AsyncRateLimiter({ maxCalls: 0, period: "2s" }).check("ada");
    for (const options of ["a message", { msg: "a message" }, null]) {
      expect(() => new RateLimitExceededError(decision, options as object)).toThrow(TypeError);
    }
  });
});

describe("StoreError", () => {
  it("has its name, its code and its cause", () => {
    const cause = new Error("ECONNREFUSED");
    expect(new StoreError("The store is gone", { cause })).toMatchObject({
      name: "StoreError",
      code: "STORE_ERROR",
      cause,
    });
  });
});
