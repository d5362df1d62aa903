import { beforeAll, describe, expect, it, vi } from "vitest";
import { nextInProcess } from "../../../src/core/copies.js";
import * as one from "../../../src/index.js";
import { rateLimit } from "../../../src/http/adapters/express.js";
import { withRateLimit } from "../../../src/http/adapters/fetch.js";
import type * as oneLoad from "../../../src/load/index.js";
import * as oneRedis from "../../../src/redis/index.js";
import { ManualClock } from "../../../src/testing/index.js";

type Copy = typeof one;

const hour = { maxCalls: 2, period: "1h", bypass: false } as const;

/** Another copy of the package: the same modules, evaluated a second time. */
let other: Copy;
let otherRedis: typeof oneRedis;
let otherLoad: typeof oneLoad;

beforeAll(async () => {
  vi.resetModules();
  other = await import("../../../src/index.js");
  otherRedis = await import("../../../src/redis/index.js");
  otherLoad = await import("../../../src/load/index.js");
  expect(other.AsyncRateLimiter).not.toBe(one.AsyncRateLimiter);
});

/** Makes each test run in both directions. */
const both = (): [Copy, Copy][] => [
  [one, other],
  [other, one],
];

describe("two copies of the package in one process", () => {
  it("count a call of allOf in all members or in none", async () => {
    for (const [a, b] of both()) {
      const ip = new a.AsyncRateLimiter(hour);
      const user = new b.AsyncRateLimiter({ ...hour, maxCalls: 1 });
      for (const allOf of [a.allOf, b.allOf]) {
        const members = allOf({ ip, user });
        const decision = await members.check({ ip: "10.0.0.1", user: "ada" });
        expect(decision).toMatchObject({ allowed: true, member: "user", remaining: 0 });
        expect(await members.check({ ip: "10.0.0.1", user: "ada" })).toMatchObject({ allowed: false, member: "user" });
        expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([1, 1]);
        expect(await allOf({ ip }).refund(decision)).toBe(true);
        expect([(await ip.state("10.0.0.1")).calls, (await user.state("ada")).calls]).toEqual([0, 0]);
      }
    }
  });

  it("refund each other's decisions, once, and refuse a spread copy of one", async () => {
    for (const [a, b] of both()) {
      const limiter = new a.AsyncRateLimiter(hour);
      const foreign = new b.AsyncRateLimiter(hour);
      const tiered = new b.TieredRateLimiter({ tiers: b.USER_TIERS });
      for (const refunder of [foreign, tiered, b.allOf({ foreign })]) {
        const decision = await limiter.check("ada");
        await expect(refunder.refund({ ...decision })).rejects.toThrow(/^Expected `decision` to be a decision that/);
        await expect(refunder.refund(Object.create(decision) as one.Decision)).rejects.toThrow(TypeError);
        expect(await refunder.refund(decision)).toBe(true);
        expect(await limiter.refund(decision)).toBe(false);
      }
      expect((await limiter.state("ada")).calls).toBe(0);
    }
  });

  it("share a MemoryStore, its names and its clock", async () => {
    for (const [a, b] of both()) {
      const clock = new ManualClock();
      const store = new a.MemoryStore({ clock, maxKeys: 2, onFull: "deny" });
      const first = new a.AsyncRateLimiter({ ...hour, name: "first", store });
      const second = new b.AsyncRateLimiter({ ...hour, name: "second", store });
      expect(() => new b.AsyncRateLimiter({ ...hour, name: "first", store })).toThrow(RangeError);
      const members = b.allOf({ first, second });
      expect((await members.check({ first: "ada", second: "ada" })).allowed).toBe(true);
      expect(await members.check({ first: "ben", second: "ada" })).toMatchObject({ refusedBy: "capacity" });
      expect((await second.state("ada")).calls).toBe(1);
      const waiting = second.acquire("ada", { cost: 2 });
      clock.advance("1h");
      expect((await waiting).allowed).toBe(true);
      first.close();
      expect(() => new b.AsyncRateLimiter({ ...hour, name: "first", store })).not.toThrow();
    }
  });

  it("give their limiters one order, in which allOf consults members of asynchronous stores", async () => {
    const heard: string[] = [];
    const client: oneRedis.Send = () => Promise.reject(new Error("ECONNREFUSED"));
    const made = [one, other, other, one].map((copy, at) => {
      const { RedisStore } = copy === one ? oneRedis : otherRedis;
      // Each has a client of its own, so no script can serve them together.
      const store = new RedisStore({ client: (...call) => client(...call), onStoreError: () => undefined });
      return new copy.AsyncRateLimiter({ ...hour, store, onDecision: () => heard.push(String(at)) });
    });
    const [a, b, c, d] = made as [(typeof made)[0], (typeof made)[0], (typeof made)[0], (typeof made)[0]];
    await one.allOf({ d, c, b, a }).check({ a: "ada", b: "ada", c: "ada", d: "ada" });
    await other.allOf({ c, a, d, b }).check({ a: "ada", b: "ada", c: "ada", d: "ada" });
    expect(heard.join("")).toBe("01230123");
  });

  it("count their limiters on where globalThis is frozen", () => {
    vi.spyOn(Reflect, "defineProperty").mockReturnValue(false);
    const [first, second, third] = [nextInProcess(), nextInProcess(), nextInProcess()];
    expect([second, third]).toEqual([first + 1, first + 2]);
  });

  it("count a call of allOf over one Redis client in all members or in none", async () => {
    const client: oneRedis.Send = () => Promise.reject(new Error("ECONNREFUSED"));
    const options = { ...hour, client, onStoreError: () => undefined };
    const ip = new oneRedis.RedisRateLimiter({ ...options, name: "ip" });
    const user = new otherRedis.RedisRateLimiter({ ...options, name: "user", maxCalls: 1 });
    for (const allOf of [one.allOf, other.allOf]) {
      const members = allOf({ ip, user });
      const decision = await members.check({ ip: "10.0.0.1", user: "ada" });
      expect(decision.allowed).toBe(true);
      expect(await members.check({ ip: "10.0.0.1", user: "ada" })).toMatchObject({ allowed: false, member: "user" });
      expect((await ip.peek("10.0.0.1")).remaining).toBe(1);
      expect(await members.refund(decision)).toBe(true);
    }
  });

  it("follow each other's load, bypass and errors", async () => {
    const load = new otherLoad.LoadMonitor();
    const adaptive = new one.AdaptiveRateLimiter({ baseMaxCalls: 10, period: "1s", load });
    expect((await adaptive.check("ada")).allowed).toBe(true);
    adaptive.close();
    load.stop();

    vi.stubEnv("TESTING", "1");
    const open = new one.AsyncRateLimiter({ ...hour, maxCalls: 0, bypass: other.testingBypass });
    expect((await open.check("ada")).bypassed).toBe(true);

    const limiter = new other.AsyncRateLimiter({ ...hour, maxCalls: 0 });
    const refused = await one
      .rateLimited(limiter, () => "ada", { wait: { timeout: "1ms" } })(async () => 1)()
      .catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(one.RateLimitExceededError);
  });

  it("serve HTTP together", async () => {
    const limiter = new other.AsyncRateLimiter(hour);
    const key = (): string => "ada";
    expect(() => rateLimit({ limiter, key })).not.toThrow();
    const user = new one.AsyncRateLimiter({ ...hour, maxCalls: 1 });
    const handler = withRateLimit(async () => new Response("hello"), {
      limiters: { ip: { limiter, key }, user: { limiter: user, key } },
      refundWhen: (_, status) => status === 200,
    });
    const request = (): Promise<Response> => handler(new Request("https://example.org/"));
    expect([(await request()).status, (await request()).status]).toEqual([200, 200]);
    await user.check("ada");
    expect((await request()).status).toBe(429);
    expect((await limiter.state("ada")).calls).toBe(0);
  });
});

describe("an incompatible copy of the package", () => {
  /** What a later copy will publish, when the protocol has changed. */
  const later = (role: string, fields: object = {}): never => {
    return Object.assign(Object.create({ [Symbol.for(`sluicegate.${role}`)]: { protocol: 2 } }), fields) as never;
  };
  const message = /another copy of sluicegate, protocol 2/;

  it("is named where its limiter is a member of allOf", () => {
    const limiter = later("limiter", { check: () => undefined, limits: [] });
    expect(() => one.allOf({ ip: limiter })).toThrow(message);
    expect(() => one.allOf({ ip: limiter })).toThrow(
      "Expected `members.ip` to be a limiter of this copy of sluicegate",
    );
    expect(() => rateLimit({ limiters: { ip: { limiter } } })).toThrow(message);
  });

  it("is named where its decision is refunded", async () => {
    const refund = new one.AsyncRateLimiter(hour).refund(later("decision"));
    await expect(refund).rejects.toThrow(message);
    await expect(refund).rejects.toThrow(TypeError);
  });

  it("is named where its store is handed over", () => {
    const store = later("store", { synchronous: true, open: () => undefined });
    expect(() => new one.AsyncRateLimiter({ ...hour, store })).toThrow(message);
    const client = (): Promise<never> => Promise.reject(new Error("ECONNREFUSED"));
    expect(() => new oneRedis.RedisStore({ client, whenDown: store })).toThrow(message);
  });
});
