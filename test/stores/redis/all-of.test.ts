import fc from "fast-check";
import { Cluster, Redis } from "ioredis";
import { allOf, AsyncRateLimiter, LayeredRateLimiter, MemoryStore, type Store } from "sluicegate";
import { hashTagged, RedisRateLimiter, RedisStore, type Send } from "sluicegate/redis";
import { ManualClock } from "sluicegate/testing";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { asyncStore } from "../../support/async-store.js";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

const HOUR = { maxCalls: 3, period: "1h" } as const;
let made = 0;

/** How many scripts were sent since the last call. */
async function scriptCalls(servers: readonly Redis[]): Promise<number> {
  const infos = await Promise.all(servers.map((redis) => redis.info("commandstats")));
  await Promise.all(servers.map((redis) => redis.config("RESETSTAT")));
  const calls = infos.flatMap((info) => [...info.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)]);
  return calls.reduce((sum, [, count]) => sum + Number(count), 0);
}

/** Members of every kind: plain, of several layers, and one in shadow mode, which never refuses. */
function membersOf(
  store: Store,
): ReturnType<typeof allOf<{ ip: AsyncRateLimiter; user: LayeredRateLimiter; spy: AsyncRateLimiter }>> {
  return allOf({
    ip: new AsyncRateLimiter({ maxCalls: 6, period: "1h", name: "ip", store }),
    user: new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 3, period: "30m" },
        { name: "Daily", maxCalls: 5, period: "1d" },
      ],
      name: "user",
      store,
    }),
    spy: new AsyncRateLimiter({ maxCalls: 2, period: "1h", mode: "shadow", name: "spy", store }),
  });
}

describe.skipIf(withoutRedis !== undefined)("allOf over one Redis", () => {
  const redis = realRedis();
  const storeOf = (options: object = {}): RedisStore =>
    new RedisStore({ client: redis.client, keyPrefix: `t${(made += 1)}`, timeout: "5s", whenDown: "deny", ...options });

  it("decides as it does in memory, one script for each call", async () => {
    const key = fc.constantFrom("a", "b", null);
    const step = fc.record({
      ip: key,
      user: key,
      spy: key,
      cost: fc.integer({ min: 1, max: 3 }),
      refund: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 14 }), async (steps) => {
        const here = membersOf(storeOf({ denyCache: false }));
        const there = membersOf(new MemoryStore({ clock: new ManualClock() }));
        for (const { cost, refund, ...keys } of steps) {
          const [mine, theirs] = [await here.check(keys, { cost }), await there.check(keys, { cost })];
          const seen = [mine, theirs].map((decision) => ({
            ...pick(decision),
            members: Object.values(decision.members).map((member) => member && pick(member)),
          }));
          expect(seen[0]).toEqual(seen[1]);
          if (refund) expect(await here.refund(mine)).toBe(await there.refund(theirs));
        }
      }),
      { numRuns: 60 },
    );
  });

  it("sends one script for limiters of one client, and several scripts if the clients differ", async () => {
    const limiter = (name: string, client: Redis): RedisRateLimiter =>
      new RedisRateLimiter({ ...HOUR, client, name, keyPrefix: `u${(made += 1)}`, timeout: "5s" });
    const other = redis.client.duplicate();
    const one = allOf({ ip: limiter("ip", redis.client), user: limiter("user", redis.client) });
    const two = allOf({ ip: limiter("ip", redis.client), user: limiter("user", other) });
    await one.check({ ip: "a", user: "b" });
    await two.check({ ip: "a", user: "b" });
    await scriptCalls([redis.client]);
    for (const remaining of [1, 0])
      expect(await one.check({ ip: "a", user: "b" })).toMatchObject({ allowed: true, remaining });
    expect(await scriptCalls([redis.client])).toBe(2);
    for (const remaining of [1, 0])
      expect(await two.check({ ip: "a", user: "b" })).toMatchObject({ allowed: true, remaining });
    expect(await scriptCalls([redis.client])).toBe(4);
    other.disconnect();
  });

  it("sends no command while the deny cache refuses a member", async () => {
    const store = storeOf();
    const ip = new AsyncRateLimiter({ ...HOUR, maxCalls: 5, name: "ip", store });
    const user = new AsyncRateLimiter({ ...HOUR, maxCalls: 1, name: "user", store });
    const both = allOf({ ip, user });
    await both.check({ ip: "a", user: "b" });
    expect(await both.check({ ip: "a", user: "b" })).toMatchObject({
      allowed: false,
      member: "user",
      members: { ip: { allowed: true, remaining: 4, source: "redis" }, user: { source: "redis" } },
    });
    await scriptCalls([redis.client]);
    expect(await both.check({ ip: "a", user: "b" })).toMatchObject({
      allowed: false,
      member: "user",
      members: { ip: null, user: { source: "deny-cache" } },
    });
    expect(await scriptCalls([redis.client])).toBe(0);
    expect((await ip.peek("a")).remaining).toBe(4);
  });

  it("counts a key that two members share twice, or not at all", async () => {
    const [one, two] = [1, 2].map(() => new RedisRateLimiter({ ...HOUR, client: redis.client, keyPrefix: "shared" }));
    const both = allOf({ one: one!, two: two! });
    expect((await both.check({ one: "a", two: "a" })).allowed).toBe(true);
    expect((await both.check({ one: "a", two: "a" })).allowed).toBe(false);
    expect((await one!.peek("a")).remaining).toBe(1);
  });

  it("calls onDecision for each member of an admitted call, and only for refusals of a refused call", async () => {
    const heard: string[] = [];
    const store = storeOf();
    const member = (name: string, maxCalls: number): AsyncRateLimiter =>
      new AsyncRateLimiter({
        maxCalls,
        period: "1h",
        name,
        store,
        onDecision: ({ allowed }) => heard.push(`${name} ${allowed}`),
      });
    const both = allOf({ ip: member("ip", 5), user: member("user", 1) });
    await both.check({ ip: "a", user: "b" });
    await both.check({ ip: "a", user: "b" });
    expect(heard).toEqual(["ip true", "user true", "user false"]);
  });

  it("is all or nothing in the stores that stand in, too", async () => {
    const client: Send = async () => Promise.reject(new Error("gone"));
    const limiter = (name: string, maxCalls: number, whenDown: "local" | "deny" = "local"): RedisRateLimiter =>
      new RedisRateLimiter({ maxCalls, period: "1h", name, client, whenDown });
    const [ip, user] = [limiter("ip", 5), limiter("user", 1)];
    const both = allOf({ ip, user });
    expect(await both.check({ ip: "a", user: "b" })).toMatchObject({ allowed: true, source: "fallback" });
    expect(await both.check({ ip: "a", user: "b" })).toMatchObject({ allowed: false, member: "user" });
    expect((await ip.peek("a")).remaining).toBe(4);
    await expect(
      allOf({ ip, strict: limiter("strict", 5, "deny") }).check({ ip: "a", strict: "b" }),
    ).rejects.toMatchObject({
      code: "STORE_ERROR",
    });
    expect((await ip.peek("a")).remaining).toBe(4);
  });

  it("checks fallbacks in the order in which the limiters were made, so that one of two calls passes", async () => {
    const client: Send = async () => Promise.reject(new Error("gone"));
    const [a, b] = ["a", "b"].map((name) => new RedisRateLimiter({ maxCalls: 1, period: "1h", name, client })) as [
      RedisRateLimiter,
      RedisRateLimiter,
    ];
    const both = [allOf({ a, b }), allOf({ b, a })] as const;
    const decisions = await Promise.all(both.map((all) => all.check({ a: "key", b: "key" })));
    expect(decisions.map(({ allowed }) => allowed)).toEqual([true, false]);
  });

  it("calls onStoreError of every store when the client fails", async () => {
    const client: Send = async () => Promise.reject(new Error("gone"));
    const heard: string[] = [];
    const [a, b] = ["a", "b"].map(
      (name) => new RedisRateLimiter({ ...HOUR, name, client, onStoreError: () => heard.push(name) }),
    ) as [RedisRateLimiter, RedisRateLimiter];
    const both = allOf({ a, b });
    await both.check({ a: "key", b: "key" });
    expect(heard).toEqual(["a", "b"]);
    // The third failure opens the circuit: later calls are not sent.
    for (let calls = 0; calls < 4; calls += 1) await both.check({ a: "key", b: "key" });
    expect(heard).toEqual(["a", "b", "a", "b", "a", "b"]);
  });

  it("warns of a refund that fails, and does not reject the call", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const whenDown = asyncStore({
      replace: (space) => ({
        check: async (...args) => {
          const verdict = space.check(...args);
          return {
            ...verdict,
            receipt: verdict.receipt && { refund: () => Promise.reject(new Error("refund failed")) },
          };
        },
      }),
    });
    const client: Send = async () => Promise.reject(new Error("gone"));
    const limiter = (name: string, maxCalls: number): RedisRateLimiter =>
      new RedisRateLimiter({ maxCalls, period: "1h", name, client, whenDown });
    const both = allOf({ ip: limiter("ip", 5), user: limiter("user", 0) });
    expect((await both.check({ ip: "a", user: "b" })).allowed).toBe(false);
    expect(warned).toHaveBeenCalledWith("A refund failed; the call of another key stays counted", expect.anything());
  });

  it("finds a log cut short before it records anything in another", async () => {
    const store = storeOf();
    const ip = new AsyncRateLimiter({ ...HOUR, name: "ip", store });
    const user = new AsyncRateLimiter({ maxCalls: 1000, period: "1h", name: "user", store });
    await user.check("b", { cost: 400 });
    const key = `t${made}:user:b`;
    await redis.client.set(key, (await redis.client.getBuffer(key))!.subarray(0, 35 + 200 * 6));
    await expect(allOf({ ip, user }).check({ ip: "a", user: "b" })).rejects.toThrow(/is not a log of this package/);
    expect((await ip.peek("a")).remaining).toBe(3);
  });

  it("passes on that a value is not a log, and counts nothing", async () => {
    const store = storeOf();
    const ip = new AsyncRateLimiter({ ...HOUR, name: "ip", store });
    const user = new AsyncRateLimiter({ ...HOUR, name: "user", store });
    await redis.client.set(`t${made}:user:b`, "a foreign value");
    await expect(allOf({ ip, user }).check({ ip: "a", user: "b" })).rejects.toThrow(/is not a log of this package/);
    expect((await ip.peek("a")).remaining).toBe(3);
  });
});

describe.skipIf(withoutRedis !== undefined)("allOf over a cluster", () => {
  let servers: ClusterProcess;
  let client: Cluster;
  beforeAll(async () => {
    servers = await ClusterProcess.start();
    client = new Cluster(servers.nodes);
  });
  afterAll(async () => {
    client.disconnect();
    await servers.kill();
  });

  const pair = (given: Cluster | Redis | Send, options: object = {}) => {
    const store = new RedisStore({
      client: given,
      keyPrefix: `c${(made += 1)}`,
      timeout: "5s",
      whenDown: "allow",
      denyCache: false,
      ...options,
    });
    const ip = new AsyncRateLimiter({ ...HOUR, maxCalls: 5, name: "ip", store });
    const user = new AsyncRateLimiter({ ...HOUR, maxCalls: 2, name: "user", store });
    return { ip, user, both: allOf({ ip, user }) };
  };
  const calls = async (): Promise<number> => scriptCalls(servers.primaries.map(({ admin }) => admin));

  it("sends one script if the keys have one hash tag, and else one for each key and each refund", async () => {
    const { ip, both } = pair(client);
    const tagged = { ip: hashTagged("acme", "10.0.0.1"), user: hashTagged("acme", "ada") };
    await both.check(tagged);
    await calls();
    expect(await both.check(tagged)).toMatchObject({ allowed: true, remaining: 0 });
    expect(await both.check(tagged)).toMatchObject({ allowed: false, member: "user" });
    expect(await calls()).toBe(2);
    expect((await ip.peek(tagged.ip)).remaining).toBe(3);

    const apart = { ip: "10.0.0.1", user: "ada" };
    for (const allowed of [true, true]) expect(await both.check(apart)).toMatchObject({ allowed });
    await calls();
    expect(await both.check(apart)).toMatchObject({ allowed: false, member: "user" });
    // The first key, the second, which refuses, and the refund of the first.
    expect(await calls()).toBeGreaterThanOrEqual(3);
    expect((await ip.peek("10.0.0.1")).remaining).toBe(3);
  });

  it("admits exactly maxCalls of many concurrent calls, with tagged keys and with other keys", async () => {
    for (const keys of [
      { ip: hashTagged("x", "a"), user: hashTagged("x", "b") },
      { ip: "a", user: "b" },
    ]) {
      const { ip, user, both } = pair(client);
      const decisions = await Promise.all(Array.from({ length: 60 }, () => both.check(keys)));
      const admitted = decisions.filter(({ allowed }) => allowed).length;
      // In order, a call may be refused for one that is refunded a moment later.
      expect(admitted).toBeLessThanOrEqual(2);
      if (keys.ip.startsWith("{")) expect(admitted).toBe(2);
      expect([(await ip.peek(keys.ip)).remaining, (await user.peek(keys.user)).remaining]).toEqual([
        5 - admitted,
        2 - admitted,
      ]);
    }
  });

  it("names the remedy in the error, and stays exact, if a function hides a cluster", async () => {
    const onStoreError = vi.fn();
    const send: Send = ([command = "", ...words]) => client.call(command, ...words);
    const { ip, both } = pair(send, { onStoreError });
    for (const allowed of [true, true, false]) expect((await both.check({ ip: "a", user: "b" })).allowed).toBe(allowed);
    expect((await ip.peek("a")).remaining).toBe(3);
    expect(onStoreError.mock.calls.map(([error]) => (error as Error).message)).toEqual([
      expect.stringMatching(
        /in different slots of a Redis Cluster: pass the store the client of the cluster, .* `hashTagged`$/,
      ),
    ]);
  });

  it("rejects a reset through a client that does not reach all keys, and names the remedy", async () => {
    const lone = new Redis(servers.nodes[0]!);
    const send: Send = ([command = "", ...words]) => client.call(command, ...words);
    for (const given of [lone, send]) {
      await expect(pair(given).ip.reset()).rejects.toThrow(
        /^The client is connected to one server of a Redis Cluster only: pass the store the client of/,
      );
    }
    lone.disconnect();
  });

  it("admits no call through a client of one server, and names the remedy", async () => {
    const lone = new Redis(servers.nodes[0]!);
    const { ip } = pair(lone);
    const outcomes = await Promise.allSettled(["a", "b", "c"].map((key) => ip.check(key)));
    const errors = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as Error] : []));
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors)
      expect(error.message).toMatch(/one server of a Redis Cluster: pass the store the client of/);
    lone.disconnect();
  });
});

function pick({
  allowed,
  reason,
  remaining,
  shadowed,
  reduced,
}: {
  allowed: boolean;
  reason: string;
  remaining: number;
  shadowed: boolean;
  reduced: boolean;
}): object {
  return { allowed, reason, remaining, shadowed, reduced };
}
