import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { AsyncRateLimiter, type Decision, LayeredRateLimiter } from "sluicegate";
import { RedisStore } from "sluicegate/redis";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

const KEY = "rate_limit:default:ada";

const FOREIGN = "The value of a key in Redis is not a log of this package";

/** Random bytes from a seed, which reproduces a failure. */
function randomBytes(seed: string, length: number): Buffer {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, at) =>
    createHash("sha256").update(`${seed}:${at}`).digest(),
  );
  return Buffer.concat(blocks).subarray(0, length);
}

interface Stored {
  readonly timestamps: readonly number[];
  readonly high: number;
  readonly longest: number;
}

/** The methods of a limiter, whatever their options are. */
type Verbs = Record<"peek" | "state" | "isAllowed" | "check" | "unlock", (key: string, options: object) => unknown>;

/** A value in the format of the script. */
function packed({ timestamps, high, longest }: Stored): Buffer {
  const value = Buffer.alloc(35 + 6 * timestamps.length);
  value.write("sg1");
  value.writeUInt32BE(timestamps.length, 3);
  value.writeUInt32BE(timestamps.length, 11);
  value.writeUIntBE(high, 15, 6);
  for (const [at, number] of [longest, 1].entries()) {
    value.writeUInt8(0, 21 + 7 * at);
    value.writeUIntBE(number, 22 + 7 * at, 6);
  }
  for (const [at, timestamp] of timestamps.entries()) value.writeUIntBE(timestamp, 35 + 6 * at, 6);
  return value;
}

describe.skipIf(withoutRedis !== undefined)("the value of a key in Redis", () => {
  const redis = realRedis();
  const store = (): RedisStore =>
    new RedisStore({ client: redis.client, timeout: "5s", whenDown: "deny", denyCache: false });
  const serverTime = async (): Promise<number> => {
    const [seconds = 0, microseconds = 0] = await redis.client.time();
    return seconds * 1000 + microseconds / 1000;
  };

  beforeEach(async () => {
    // The tests use one key with different periods, which causes a warning.
    vi.spyOn(process, "emitWarning").mockReturnValue();
    await redis.client.flushall();
  });

  it("is neither changed nor created by a peek, a state or a refused call", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1h", store: store() });
    await limiter.peek("ada");
    await limiter.state("ada");
    await limiter.check("ada", { cost: 3 });
    expect(await redis.client.exists(KEY)).toBe(0);
    await limiter.check("ada", { cost: 2 });
    const before = [await redis.client.dumpBuffer(KEY), await redis.client.call("PEXPIRETIME", KEY)];
    await sleep(5);
    await limiter.check("ada");
    await limiter.isAllowed("ada");
    await limiter.peek("ada");
    expect([await redis.client.dumpBuffer(KEY), await redis.client.call("PEXPIRETIME", KEY)]).toEqual(before);
  });

  it("expires one period after the newest call, and never earlier", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 300, period: "80ms", store: store() });
    let latest = 0;
    for (const cost of [1, 1, 100, 50]) {
      const before = await serverTime();
      await limiter.check("ada", { cost });
      const expires = Number(await redis.client.call("PEXPIRETIME", KEY));
      expect(expires).toBeGreaterThanOrEqual(Math.max(latest, before + 80));
      expect(expires).toBeLessThanOrEqual((await serverTime()) + 82);
      latest = expires;
      await sleep(3);
    }
    await sleep(100);
    expect(await redis.client.exists(KEY)).toBe(0);
  });

  it("contains the latest time, so that a clock that goes back neither revives nor expires a call", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1m", store: store() });
    const high = Math.floor(await serverTime()) + 20_000;
    // Two calls by a clock that is 20 s ahead; the older one expired there a second ago.
    await redis.client.set(KEY, packed({ timestamps: [high - 61_000, high], high, longest: 60_000 }));
    expect(await limiter.peek("ada")).toMatchObject({ allowed: true, remaining: 1 });
    const decision = await limiter.check("ada");
    expect(decision).toMatchObject({ allowed: true, remaining: 0 });
    expect((await redis.client.getBuffer(KEY))!.readUIntBE(15, 6)).toBe(high);
    const refused = await limiter.check("ada");
    expect(refused.allowed).toBe(false);
    expect(refused.retryAfterMs).toBeGreaterThan(79_000);
    expect(refused.retryAfterMs).toBeLessThanOrEqual(80_001);
    // A refund removes the call, and keeps the time.
    expect(await limiter.refund(decision)).toBe(true);
    expect((await redis.client.getBuffer(KEY))!.readUIntBE(15, 6)).toBe(high);
    expect(await limiter.peek("ada")).toMatchObject({ allowed: true, remaining: 1 });
  });

  it("loses timestamps that are further ahead than the longest period, which a wrong clock wrote", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1m", store: store() });
    const now = Math.floor(await serverTime());
    const wrong = now + 86_400_000;
    await redis.client.set(KEY, packed({ timestamps: [now - 1000, wrong, wrong], high: wrong, longest: 60_000 }));
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, remaining: 1 });
    const { retryAfterMs } = await limiter.check("ada", { cost: 2 });
    expect(retryAfterMs).toBeLessThanOrEqual(60_000);
    expect((await redis.client.getBuffer(KEY))!.readUIntBE(15, 6)).toBeLessThan(now + 60_000);
  });

  it("keeps the calls that either of two releases with different limits needs", async () => {
    const old = new AsyncRateLimiter({ maxCalls: 3, period: "1m", store: store() });
    const next = new LayeredRateLimiter({
      limits: [
        { name: "Minute", maxCalls: 500, period: "1m" },
        { name: "Daily", maxCalls: 600, period: "30d" },
      ],
      store: store(),
    });
    await next.check("ada", { cost: 400 });
    expect(await old.check("ada")).toMatchObject({ allowed: false, remaining: 0 });
    await redis.client.del(KEY);
    await old.check("ada");
    await next.check("ada", { cost: 400 });
    expect((await old.peek("ada")).allowed).toBe(false);
    expect((await next.check("ada", { cost: 99 })).layers.map(({ remaining }) => remaining)).toEqual([0, 100]);
    expect(await redis.client.pttl(KEY)).toBeGreaterThan(29 * 86_400_000);
    await old.reset("ada");
    await next.check("ada");
    await old.check("ada");
    // The release with the shorter period does not shorten the expiry.
    expect(await redis.client.pttl(KEY)).toBeGreaterThan(29 * 86_400_000);
    expect((await next.state("ada")).calls).toBe(2);
  });

  it("grows by many slots at once if another release needs a longer log", async () => {
    const deep = new AsyncRateLimiter({ maxCalls: 1000, period: "1h", store: store() });
    const shallow = new AsyncRateLimiter({ maxCalls: 10, period: "1ms", store: store() });
    await deep.check("ada", { cost: 200 });
    const sizes = new Set<number>();
    for (let calls = 0; calls < 40; calls += 1) {
      await sleep(2);
      expect(await shallow.isAllowed("ada")).toBe(true);
      sizes.add(await redis.client.strlen(KEY));
    }
    expect((await deep.state("ada")).calls).toBe(240);
    expect(sizes.size).toBeLessThan(4);
  });

  it.each([
    [100, 12],
    [1000, 9],
    [10_000, 9],
  ])("with %i calls uses at most %i bytes for each", async (maxCalls, most) => {
    const limiter = new AsyncRateLimiter({ maxCalls, period: "1h", store: store() });
    for (let calls = 0; calls < maxCalls; calls += 10) await limiter.check("ada", { cost: 10 });
    expect((await limiter.peek("ada")).remaining).toBe(0);
    expect(Number(await redis.client.memory("USAGE", KEY)) / maxCalls).toBeLessThanOrEqual(most);
  });

  it.each<[string, (value: Buffer) => Buffer]>([
    ["cut short", (value) => value.subarray(0, value.length - 3)],
    ["without timestamps", (value) => value.subarray(0, 35)],
    ["of another version", (value) => Buffer.concat([Buffer.from("sg9"), value.subarray(3)])],
    ["with more timestamps than slots", (value) => (value.writeUInt32BE(4000, 11), value)],
    ["with a head outside of the slots", (value) => (value.writeUInt32BE(4000, 7), value)],
    ["with a wrong number of slots", (value) => (value.writeUInt32BE(4000, 3), value.writeUInt32BE(3999, 7), value)],
  ])("%s causes a StoreError, and is not changed", async (_, damage) => {
    const open = new RedisStore({ client: redis.client, timeout: "5s", whenDown: "allow" });
    const limiter = new AsyncRateLimiter({ maxCalls: 1000, period: "1h", store: open });
    await limiter.check("ada", { cost: 200 });
    const damaged = damage((await redis.client.getBuffer(KEY))!);
    await redis.client.set(KEY, damaged);
    await expect(limiter.isAllowed("ada")).rejects.toMatchObject({ code: "STORE_ERROR" });
    await expect(limiter.check("ada")).rejects.toMatchObject({ code: "STORE_ERROR" });
    expect(await redis.client.getBuffer(KEY)).toEqual(damaged);
  });

  it("of random bytes is a log or causes a StoreError, and never counts as a failure of the server", async () => {
    const open = new RedisStore({ client: redis.client, timeout: "5s", whenDown: "allow", denyCache: false });
    const limiter = new AsyncRateLimiter({ maxCalls: 1000, period: "1h", lockFor: ["1m", "1h"], store: open });
    const seed = Date.now() % 1_000_000;
    const outcomes = { log: 0, error: 0 };
    for (let round = 0; round < 400; round += 1) {
      const value = randomBytes(`${seed}:${round}`, 36 + (round % 7) * 40);
      value.write(round % 3 === 0 ? "sg2" : "sg1");
      if (round % 2 === 0) {
        // A ring that fits the length, so that the script reads the numbers behind it.
        const capacity = 1 + (value[3]! % 40);
        value.writeUInt32BE(capacity, 3);
        value.writeUInt32BE(value[4]! % capacity, 7);
        value.writeUInt32BE(value[5]! % (capacity + 1), 11);
      }
      if (round % 4 === 0) value.fill(0, 21, 22).fill(0, 28, 29).fill(0, 35, 36);
      for (const method of ["peek", "state", "isAllowed", "check", "unlock"] as const) {
        await redis.client.set(KEY, value);
        try {
          const options = method === "unlock" ? {} : { cost: 1 + (round % 200) };
          const result = await (limiter as Verbs)[method]("ada", options);
          if (typeof result === "object" && result !== null && "source" in result)
            expect([seed, round, result.source]).toEqual([seed, round, "redis"]);
          if (method === "check") await limiter.refund(result as Decision);
          outcomes.log += 1;
        } catch (error) {
          expect([seed, round, method, (error as Error).message]).toEqual([seed, round, method, FOREIGN]);
          outcomes.error += 1;
        }
      }
    }
    expect(Math.min(outcomes.log, outcomes.error)).toBeGreaterThan(20);
  });
});
