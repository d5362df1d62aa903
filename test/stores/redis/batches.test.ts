import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis as Upstash } from "@upstash/redis";
import { Cluster, Redis } from "ioredis";
import type { AsyncRateLimiter } from "sluicegate";
import { allOf, type Decision, LayeredRateLimiter, type StoreError } from "sluicegate";
import { hashTagged, RedisRateLimiter, type RedisRateLimiterOptions, RedisStore } from "sluicegate/redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { SCRIPT } from "../../../src/redis/script.js";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { Proxy } from "../../support/redis/proxy.js";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";
import { UpstashStandIn } from "../../support/redis/upstash-stand-in.js";

const HOUR = { maxCalls: 3, period: "1h" } as const;
const KEYS = Array.from({ length: 40 }, (_, at) => `key-${at}`);

/** How many scripts a server has run since the last time. */
async function scriptCalls(redis: Redis): Promise<number> {
  const stats = await redis.info("commandstats");
  await redis.config("RESETSTAT");
  return [...stats.matchAll(/cmdstat_eval(?:sha)?:calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
}

const sources = (decisions: readonly Decision[]): Set<string> => new Set(decisions.map(({ source }) => source));

describe.skipIf(withoutRedis !== undefined)("calls that one client makes at the same time", { retry: 2 }, () => {
  let redis: RedisProcess;
  let client: Redis;
  let failures: unknown[];
  let closing: (() => unknown)[];
  let made = 0;

  const connect = (port: number): Redis => {
    const connected = new Redis(port, "127.0.0.1", { retryStrategy: () => 50 });
    connected.on("error", () => undefined);
    closing.push(() => connected.disconnect());
    return connected;
  };
  const limiterOf = (options: Partial<RedisRateLimiterOptions> = {}): RedisRateLimiter =>
    new RedisRateLimiter({
      ...HOUR,
      client,
      name: `limiter-${(made += 1)}`,
      timeout: "1s",
      denyCache: false,
      onStoreError: (error) => failures.push(error),
      ...options,
    });
  /** One call of each key. The first is sent alone, and the others in one run. */
  const checkAll = (limiter: AsyncRateLimiter | RedisRateLimiter, keys: readonly string[] = KEYS) =>
    Promise.all(keys.map((key) => limiter.check(key)));

  beforeEach(async () => {
    failures = [];
    closing = [];
    redis = await RedisProcess.start();
    client = connect(redis.port);
    await client.ping();
  });
  afterEach(async () => {
    for (const close of closing) close();
    redis.signal("SIGCONT");
    await redis.kill();
  });

  it("are two runs of the script, whichever limiters make them, and each is judged alone and in order", async () => {
    const one = limiterOf();
    const store = new RedisStore({ client, timeout: "1s" });
    const three = new LayeredRateLimiter({
      limits: [
        { name: "Burst", maxCalls: 2, period: "10s" },
        { name: "Hourly", maxCalls: 5, period: "1h" },
        { name: "Daily", maxCalls: 9, period: "1d" },
      ],
      store,
    });
    const both = allOf({ one: limiterOf({ maxCalls: 1 }), two: limiterOf() });
    await one.isAllowed("loads the script");
    await scriptCalls(client);
    const results = await Promise.all([
      one.check("ada", { cost: 2 }),
      one.isAllowed("ada", { cost: 2 }),
      one.isAllowed("ada"),
      one.isAllowed("ada"),
      three.check("ada"),
      three.check("ada", { cost: 2 }),
      one.peek("ada"),
      one.state("ada"),
      both.check({ one: "a", two: "b" }),
      both.check({ one: "a", two: "b" }),
      three.isAllowed("ada"),
    ]);
    expect(await scriptCalls(client)).toBe(2);
    expect(results).toMatchObject([
      { allowed: true, remaining: 1 },
      false,
      true,
      false,
      { allowed: true, remaining: 1 },
      { allowed: false, limit: { name: "Burst" } },
      { allowed: false, remaining: 0 },
      { calls: 3 },
      { allowed: true, member: "one" },
      { allowed: false, member: "one", members: { two: { allowed: true, remaining: 2 } } },
      true,
    ]);
  });

  it.each([
    ["key prefixes", { keyPrefix: "other" }],
    ["timeouts", { timeout: "2s" }],
  ] as const)("are decided in their order, also by allOf of limiters with different %s", async (_name, options) => {
    const [one, two] = [limiterOf({ maxCalls: 1 }), limiterOf({ maxCalls: 1, ...options })] as const;
    const both = allOf({ one, two });
    await both.check({ one: "loads the script", two: "" });
    // What else waits determines which run is sent first.
    const others = [one.peek("busy"), one.peek("busy"), two.peek("busy")];
    const before = await Promise.all([two.isAllowed("a"), both.check({ one: "a", two: "a" })]);
    expect([before[0], before[1].allowed]).toEqual([true, false]);
    others.push(one.peek("busy"), two.peek("busy"), two.peek("busy"));
    const after = await Promise.all([both.check({ one: "b", two: "b" }), two.isAllowed("b")]);
    expect([after[0].allowed, after[1]]).toEqual([true, false]);
    await Promise.all(others);
  });

  it("are one HTTP request through Upstash, beside the first one", async () => {
    const standIn = await UpstashStandIn.before(redis.port);
    closing.push(() => standIn.close());
    const upstash = new Upstash({
      url: standIn.url,
      token: UpstashStandIn.token,
      retry: false,
      enableTelemetry: false,
    });
    const limiter = limiterOf({ client: upstash });
    await limiter.check("loads the script");
    await scriptCalls(client);
    expect((await checkAll(limiter)).map(({ remaining }) => remaining)).toEqual(KEYS.map(() => 2));
    expect(await Promise.all(KEYS.map((key) => limiter.isAllowed(key)))).toEqual(KEYS.map(() => true));
    expect(await scriptCalls(client)).toBe(4);
  });

  it("fail alone if the value of their key is foreign", async () => {
    const limiter = limiterOf();
    const prefix = `rate_limit:limiter-${made}:`;
    await client.set(`${prefix}key-5`, "not a log, and longer than a header of one is");
    await client.lpush(`${prefix}key-7`, "1");
    const outcomes = await Promise.allSettled(KEYS.map((key) => limiter.check(key)));
    const failed = outcomes.flatMap(({ status }, at) => (status === "rejected" ? [at] : []));
    expect(failed).toEqual([5, 7]);
    expect(failures).toHaveLength(2);
    expect((await limiter.peek("key-6")).remaining).toBe(2);
  });

  it("are each counted once, by Redis, while scripts are flushed", async () => {
    const limiter = limiterOf({ maxCalls: 30 });
    for (let round = 1; round <= 20; round += 1) {
      await client.script("FLUSH");
      expect(sources(await checkAll(limiter))).toEqual(new Set(["redis"]));
    }
    for (const key of KEYS) expect((await limiter.peek(key)).remaining).toBe(10);
    expect(failures).toEqual([]);
  });

  it("are each counted once if their replies are lost, and decided by the fallback", async () => {
    const proxy = await Proxy.to(redis.port);
    closing.push(() => proxy.close());
    const limiter = limiterOf({ client: connect(proxy.port), timeout: "100ms", name: "lost" });
    await limiter.check("loads the script");
    proxy.dropsReplies = true;
    expect(sources(await checkAll(limiter))).toEqual(new Set(["fallback"]));
    expect(failures).toHaveLength(KEYS.length);
    const direct = limiterOf({ name: "lost" });
    for (const key of KEYS) expect((await direct.peek(key)).remaining).toBe(2);
  });

  it("are decided by the fallback within one timeout if the server is frozen, and counted once when it goes on", async () => {
    const limiter = limiterOf({ timeout: "100ms" });
    await limiter.check("loads the script");
    redis.signal("SIGSTOP");
    const start = performance.now();
    const decisions = await checkAll(limiter, [...KEYS, ...KEYS]);
    expect(performance.now() - start).toBeLessThan(600);
    expect(sources(decisions)).toEqual(new Set(["fallback"]));
    // Twice each: the fallback counts, too.
    expect(new Set(decisions.map(({ remaining }) => remaining))).toEqual(new Set([2, 1]));
    redis.signal("SIGCONT");
    await sleep(1100);
    await expect.poll(async () => (await limiter.peek("key-1")).source).toBe("redis");
    for (const key of KEYS) expect((await limiter.peek(key)).remaining).toBe(1);
  });

  it("are decided by the fallback if the server is killed while they are under way", async () => {
    const limiter = limiterOf();
    await limiter.check("loads the script");
    redis.signal("SIGSTOP");
    const calls = checkAll(limiter);
    await sleep(20);
    await redis.kill();
    const decisions = await calls;
    expect(sources(decisions)).toEqual(new Set(["fallback"]));
    expect(decisions.every(({ allowed }) => allowed)).toBe(true);
    expect(failures).toHaveLength(KEYS.length);
  });

  it("are refused by Redis at their limit, and else decided by the fallback, if the server is out of memory", async () => {
    const limiter = limiterOf();
    const full = KEYS.filter((_, at) => at % 2 === 0);
    await Promise.all(full.map((key) => limiter.check(key, { cost: 3 })));
    await client.config("SET", "maxmemory", "1");
    const decisions = await checkAll(limiter);
    for (const [at, { allowed, source }] of decisions.entries()) {
      expect([at, allowed, source]).toEqual(at % 2 === 0 ? [at, false, "redis"] : [at, true, "fallback"]);
    }
    expect(failures).toHaveLength(KEYS.length / 2);
    await client.config("SET", "maxmemory", "0");
    expect(sources(await checkAll(limiter))).toEqual(new Set(["redis"]));
  });

  it("are refused or decided by the fallback if a server as old as Redis 6.2 is out of memory", async () => {
    const full = KEYS.slice(0, 20);
    await Promise.all(full.map((key) => limiterOf({ name: "old" }).check(key, { cost: 3 })));
    // Its errors in scripts end with a line break.
    const old = `local call = redis.call
      local redis = { call = function(command, ...)
        if command == 'SET' then error("@user_script: 9: -OOM command not allowed when used memory > 'maxmemory'.\\r\\n", 0) end
        return call(command, ...)
      end }\n`;
    const send = async ([, , ...words]: string[]): Promise<unknown> => client.call("EVAL", old + SCRIPT.text, ...words);
    const decisions = await checkAll(limiterOf({ name: "old", client: send, warnings: false }));
    expect(decisions.map(({ source }) => source)).toEqual(KEYS.map((_, at) => (at < 20 ? "redis" : "fallback")));
    expect(new Set(failures.map((failure) => (failure as StoreError).message))).toEqual(
      new Set(["Redis could not decide"]),
    );
  });

  it("are reported each in the async context of its caller", async () => {
    const context = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const limiter = limiterOf({
      client: async () => sleep(1).then(() => Promise.reject(new Error("gone"))),
      onStoreError: () => seen.push(context.getStore()),
    });
    await Promise.all(["a", "b", "c", "d"].map((key) => context.run(key, () => limiter.check(key))));
    expect(seen).toEqual(["a", "b", "c", "d"]);
  });

  it("are executed before a reset that follows them", async () => {
    const limiter = limiterOf();
    await limiter.check("loads the script");
    const calls = checkAll(limiter, ["ada", "ben", "ada"]);
    const reset = limiter.reset("ada");
    await Promise.all([calls, reset]);
    expect((await limiter.peek("ada")).remaining).toBe(3);
    expect((await limiter.peek("ben")).remaining).toBe(2);
  });

  it("do not fail for a limiter whose keys the user may not access", async () => {
    await client.call("ACL", "SETUSER", "half", "on", ">secret", "~rate_limit:mine:*", "+@all");
    const half = new Redis({ port: redis.port, username: "half", password: "secret" });
    half.on("error", () => undefined);
    closing.push(() => half.disconnect());
    const [mine, other] = ["mine", "other"].map((name) => limiterOf({ client: half, name })) as [
      RedisRateLimiter,
      RedisRateLimiter,
    ];
    const decisions = await Promise.all(KEYS.flatMap((key) => [mine.check(key), other.check(key)]));
    expect(sources(decisions.filter((_, at) => at % 2 === 0))).toEqual(new Set(["redis"]));
    expect(sources(decisions.filter((_, at) => at % 2 === 1))).toEqual(new Set(["fallback"]));
    for (const key of KEYS) expect((await mine.peek(key)).remaining).toBe(2);
  });
});

describe.skipIf(withoutRedis !== undefined)("calls that one client of a cluster makes at the same time", () => {
  let servers: ClusterProcess;
  let client: Cluster;
  beforeAll(async () => {
    servers = await ClusterProcess.start();
    client = new Cluster(servers.nodes);
    client.on("error", () => undefined);
  });
  afterAll(async () => {
    client.disconnect();
    await servers.kill();
  });
  const limiterOf = (keyPrefix: string, given: RedisRateLimiterOptions["client"] = client): RedisRateLimiter =>
    new RedisRateLimiter({ ...HOUR, client: given, keyPrefix, timeout: "5s", whenDown: "deny", denyCache: false });
  const calls = async (): Promise<number> => {
    const counts = await Promise.all(servers.primaries.map(({ admin }) => scriptCalls(admin)));
    return counts.reduce((sum, count) => sum + count, 0);
  };

  it("are one run for each hash tag, and else one run each", async () => {
    const limiter = limiterOf("tags");
    await Promise.all(KEYS.map((key) => limiter.check(key)));
    await calls();
    await Promise.all(KEYS.map((key) => limiter.check(key)));
    expect(await calls()).toBe(KEYS.length);
    const tagged = KEYS.map((key, at) => hashTagged(`tenant-${at % 4}`, key));
    await Promise.all(tagged.map((key) => limiter.check(key)));
    // The first call, and one run for each of the four tags.
    expect(await calls()).toBeLessThanOrEqual(5 + 3);
    for (const key of tagged) expect((await limiter.peek(key)).remaining).toBe(2);
  });

  it("are sent alone, once, if a function hides the cluster", async () => {
    const limiter = limiterOf("hidden", ([command = "", ...words]) => client.call(command, ...words));
    const outcomes = await Promise.all(KEYS.map((key) => limiter.check(key)));
    expect(sources(outcomes)).toEqual(new Set(["redis"]));
    for (const key of KEYS) expect((await limiter.peek(key)).remaining).toBe(2);
  });

  it("are each counted once while their slot moves", async () => {
    const limiter = limiterOf("{moving}");
    const slot = Number(await servers.primaries[0]!.admin.call("CLUSTER", "KEYSLOT", "{moving}"));
    const from = await servers.ownerOf(slot);
    const admitted = new Map(KEYS.map((key) => [key, 0]));
    let isMoving = true;
    const caller = async (key: string): Promise<void> => {
      while (isMoving) if (await limiter.isAllowed(key)) admitted.set(key, admitted.get(key)! + 1);
    };
    const callers = [...KEYS, ...KEYS].map((key) => caller(key));
    await servers.migrate(
      slot,
      from,
      servers.primaries.find((member) => member !== from)!,
    );
    await expect.poll(() => [...admitted.values()], { timeout: 10_000 }).toEqual(KEYS.map(() => 3));
    isMoving = false;
    await Promise.all(callers);
    expect([...admitted.values()]).toEqual(KEYS.map(() => 3));
  });
});
