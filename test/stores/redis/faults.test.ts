import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { createClient } from "redis";
import { AsyncRateLimiter, LayeredRateLimiter, MemoryStore, StoreError } from "sluicegate";
import { RedisRateLimiter, type RedisRateLimiterOptions, RedisStore } from "sluicegate/redis";
import { ManualClock } from "sluicegate/testing";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { freePort } from "../../support/free-port.js";
import { Proxy } from "../../support/redis/proxy.js";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";

const HOUR = { maxCalls: 4, period: "1h" } as const;

/** Milliseconds that something took. */
async function took(what: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await what();
  return performance.now() - start;
}

// Real milliseconds, on machines that do other things as well: what is held up once is tried again.
describe.skipIf(withoutRedis !== undefined)("when Redis is slow, hung or gone", { retry: 2 }, () => {
  let redis: RedisProcess;
  let client: Redis;
  let failures: unknown[];
  let closing: (() => unknown)[];

  /** A client that gives nothing up by itself: its defaults, as they hang for ever. */
  const connect = (port: number): Redis => {
    const made = new Redis(port, "127.0.0.1", { retryStrategy: () => 50 });
    made.on("error", () => undefined);
    closing.push(() => made.disconnect());
    return made;
  };
  const limiterOf = (options: Partial<RedisRateLimiterOptions> = {}): RedisRateLimiter =>
    new RedisRateLimiter({ ...HOUR, client, onStoreError: (error) => failures.push(error), ...options });
  const recovered = async (limiter: RedisRateLimiter): Promise<number> =>
    took(() =>
      vi.waitFor(async () => expect((await limiter.peek("probe")).source).toBe("redis"), {
        timeout: 8000,
        interval: 20,
      }),
    );

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

  it("killed: the fallback decides within the timeout, then immediately, and Redis decides again after its restart", async () => {
    const limiter = limiterOf();
    expect((await limiter.check("ada")).source).toBe("redis");
    await redis.kill();
    const first = await took(async () => expect((await limiter.check("ada")).source).toBe("fallback"));
    expect(first).toBeLessThan(400);
    for (let calls = 0; calls < 2; calls += 1) await limiter.check("ada");
    // The breaker is open now: no call waits.
    expect(await took(async () => expect((await limiter.check("ada")).source).toBe("fallback"))).toBeLessThan(90);
    // Four were admitted here, beside what Redis knew of: that is the bound.
    expect(await limiter.check("ada")).toMatchObject({ allowed: false, source: "fallback" });
    expect(failures).toHaveLength(3);
    expect(failures[0]).toBeInstanceOf(StoreError);

    await redis.restart();
    expect(await recovered(limiter)).toBeLessThan(4000);
    // It restarted empty. The fallback decided the calls that the client had queued, and they are not retried.
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, remaining: 3, source: "redis" });
  });

  it("stopped: a hundred concurrent callers wait for one timeout, and later callers for none", async () => {
    const limiter = limiterOf({ timeout: "100ms" });
    redis.signal("SIGSTOP");
    const keys = Array.from({ length: 100 }, (_, at) => `key-${at}`);
    const all = await took(() => Promise.all(keys.map((key) => limiter.check(key))));
    expect(all).toBeGreaterThan(90);
    expect(all).toBeLessThan(1000);
    expect(await took(() => limiter.isAllowed("ada"))).toBeLessThan(90);
    // One probe a second waits for the reply, and the other calls do not.
    await sleep(1050);
    const [probe, ...others] = await Promise.all(keys.slice(0, 5).map((key) => took(() => limiter.peek(key))));
    expect(probe).toBeGreaterThan(90);
    for (const other of others) expect(other).toBeLessThan(90);
    redis.signal("SIGCONT");
    expect(await recovered(limiter)).toBeLessThan(4000);
  });

  it("a stall of this process is no outage: the replies have arrived and are read first", async () => {
    const limiter = limiterOf();
    await limiter.check("loads the script");
    for (let round = 0; round < 3; round += 1) {
      const calls = Array.from({ length: 6 }, () => limiter.check(`ada-${round}`));
      await new Promise((resolve) => setImmediate(resolve));
      const end = performance.now() + 200;
      while (performance.now() < end);
      const decisions = await Promise.all(calls);
      expect(decisions.map(({ source }) => source)).toEqual(new Array(6).fill("redis"));
      expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(4);
    }
    expect(failures).toEqual([]);
  });

  it("slow: a late reply is dropped, and the next reply in time is used", async () => {
    const proxy = await Proxy.to(redis.port);
    closing.push(() => proxy.close());
    const limiter = limiterOf({ client: connect(proxy.port), timeout: "150ms" });
    expect((await limiter.check("ada")).source).toBe("redis");
    proxy.delayMs = 300;
    expect(await took(async () => expect((await limiter.check("ada")).source).toBe("fallback"))).toBeLessThan(280);
    await sleep(350);
    proxy.delayMs = 0;
    // What came too late had been recorded all the same.
    expect(await limiter.peek("ada")).toMatchObject({ source: "redis", remaining: 2 });
  });

  it("replies lost after the write: no command is retried, so no call is counted twice", async () => {
    const proxy = await Proxy.to(redis.port);
    closing.push(() => proxy.close());
    const limiter = limiterOf({ client: connect(proxy.port) });
    await limiter.check("ada");
    proxy.dropsReplies = true;
    expect((await limiter.check("ada")).source).toBe("fallback");
    const direct = limiterOf();
    expect((await direct.peek("ada")).remaining).toBe(2);
  });

  it("scripts flushed under load: Redis decides every call and counts it once", async () => {
    const limiter = limiterOf({ timeout: "2s" });
    const flushing = setInterval(() => void client.script("FLUSH").catch(() => undefined), 1);
    const calls = [];
    for (let round = 0; round < 40; round += 1) {
      calls.push(...Array.from({ length: 25 }, () => limiter.check("ada")));
      await sleep(2);
    }
    const decisions = await Promise.all(calls);
    clearInterval(flushing);
    expect(decisions.filter(({ source }) => source === "fallback")).toEqual([]);
    expect(decisions.filter(({ allowed }) => allowed)).toHaveLength(4);
    expect(failures).toEqual([]);
  });

  it("connections killed: the fallback decides calls under way, and Redis the next calls", async () => {
    const limiter = limiterOf({ timeout: "1s" });
    await limiter.check("ada");
    const killer = connect(redis.port);
    for (let round = 0; round < 5; round += 1) {
      const calls = Array.from({ length: 20 }, (_, at) => limiter.check(`key-${round}-${at}`));
      await killer.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes");
      for (const { allowed } of await Promise.all(calls)) expect(allowed).toBe(true);
    }
    expect(await recovered(limiter)).toBeLessThan(4000);
  });

  it("out of memory: the fallback decides calls that cannot be recorded, and Redis still refuses keys at their limit", async () => {
    const limiter = limiterOf();
    for (let calls = 0; calls < 4; calls += 1) await limiter.check("full");
    const deep = limiterOf({ maxCalls: 1000, name: "deep" });
    for (const cost of [100, 100, 5]) await deep.check("ada", { cost });
    await client.config("SET", "maxmemory", "1");
    // A long log is written in place, and needs no memory until it is full.
    expect(await deep.check("ada")).toMatchObject({ allowed: true, remaining: 794, source: "redis" });
    expect(await limiter.check("ada")).toMatchObject({ allowed: true, source: "fallback" });
    expect(String((failures[0] as Error).cause)).toContain("OOM");
    for (let calls = 0; calls < 9; calls += 1) await limiter.check(`new-${calls}`);
    expect(await limiter.check("full")).toMatchObject({ allowed: false, source: "redis" });
    await client.config("SET", "maxmemory", "0");
    expect((await limiter.check("ada")).source).toBe("redis");
  });

  it("no replicas: the fallback decides calls that cannot be recorded, and Redis still refuses keys at their limit", async () => {
    const limiter = limiterOf({ denyCache: false });
    for (let calls = 0; calls < 4; calls += 1) await limiter.check("full");
    await client.config("SET", "min-replicas-to-write", "1");
    for (let calls = 0; calls < 9; calls += 1) {
      expect(await limiter.check(`new-${calls}`)).toMatchObject({ allowed: true, source: "fallback" });
    }
    expect(String((failures[0] as Error).cause)).toContain("NOREPLICAS");
    expect(await limiter.check("full")).toMatchObject({ allowed: false, source: "redis" });
  });

  it("not started yet: a service starts nevertheless, and uses Redis later", async () => {
    const port = await freePort();
    for (const early of [connect(port), createClient({ socket: { port, host: "127.0.0.1", reconnectStrategy: 50 } })]) {
      if (!(early instanceof Redis)) {
        early.on("error", () => undefined);
        closing.push(() => early.destroy());
        early.connect().catch(() => undefined);
      }
      const limiter = limiterOf({ client: early });
      expect(await limiter.check("ada")).toMatchObject({ allowed: true, source: "fallback" });
      expect(failures.length).toBeGreaterThan(0);
    }
  });

  it("`whenDown`: `deny` rejects with a StoreError, `allow` admits every call, and a store decides", async () => {
    await redis.kill();
    const denied = limiterOf({ whenDown: "deny" });
    for (const verb of ["check", "isAllowed", "peek", "state"] as const) {
      await expect(denied[verb]("ada")).rejects.toMatchObject({ code: "STORE_ERROR", status: 503 });
    }
    const allowed = limiterOf({ whenDown: "allow", keyPrefix: "allow" });
    for (let calls = 0; calls < 9; calls += 1) {
      expect(await allowed.check("ada")).toMatchObject({ allowed: true, source: "fallback", remaining: 3 });
    }
    expect(await allowed.isAllowed("ada")).toBe(true);
    expect(await allowed.refund(await allowed.check("ada"))).toBe(false);

    const whenDown = new MemoryStore();
    const own = limiterOf({ whenDown, instances: 3 });
    expect(await own.check("ada")).toMatchObject({ allowed: true, remaining: 1, limit: { maxCalls: 4 } });
    const decision = await own.check("ada");
    expect(await own.check("ada")).toMatchObject({ allowed: false, source: "fallback" });
    expect(await own.refund(decision)).toBe(true);
    expect(await own.isAllowed("ada", { maxCalls: 3 })).toBe(false);
    expect(await own.check("ada", { maxCalls: 9 })).toMatchObject({
      limit: { maxCalls: 9 },
      layers: [{ maxCalls: 3, used: 2 }],
    });
    expect(whenDown.size).toBe(1);
  });

  it("reset, and a refund of a call that Redis recorded, reject while Redis is unreachable", async () => {
    const limiter = limiterOf();
    const decision = await limiter.check("ada");
    await redis.kill();
    await expect(limiter.reset("ada")).rejects.toBeInstanceOf(StoreError);
    await expect(limiter.reset()).rejects.toBeInstanceOf(StoreError);
    await expect(limiter.refund(decision)).rejects.toBeInstanceOf(StoreError);
  });

  it("a listener that fails changes nothing", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    await redis.kill();
    const limiter = limiterOf({
      onStoreError: () => {
        throw new Error("no metrics either");
      },
    });
    expect((await limiter.check("ada")).source).toBe("fallback");
    expect(warned).toHaveBeenCalledOnce();
  });

  it("only the first failure is a process warning without onStoreError", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const limiter = limiterOf({ onStoreError: undefined });
    await limiter.check("ada");
    expect(warned).not.toHaveBeenCalled();
    await redis.kill();
    for (let call = 0; call < 5; call += 1) expect((await limiter.check("ada")).source).toBe("fallback");
    expect(warned).toHaveBeenCalledOnce();
    expect(warned.mock.calls[0]).toMatchObject([
      expect.stringMatching(/^Redis failed a call of a RedisStore/),
      { type: "SluicegateWarning" },
    ]);
  });

  it("a foreign value is a StoreError, and never admits a call", async () => {
    const limiter = limiterOf({ whenDown: "allow" });
    await client.set("rate_limit:default:text", "not a log, and longer than a header of one is");
    await client.set("rate_limit:default:newer", `sg2${"\0".repeat(60)}`);
    await client.set("rate_limit:default:short", "sg1");
    await client.lpush("rate_limit:default:list", "1");
    for (const key of ["text", "newer", "short", "list"]) {
      await expect(limiter.check(key)).rejects.toMatchObject({ code: "STORE_ERROR" });
      await expect(limiter.isAllowed(key)).rejects.toMatchObject({ code: "STORE_ERROR" });
    }
    expect(await client.get("rate_limit:default:short")).toBe("sg1");
    // Redis replied to each of them: it is not down.
    expect((await limiter.check("ada")).source).toBe("redis");
  });

  it("leaves no timer behind: the process ends when its client does", async () => {
    const limiter = limiterOf({ timeout: "60s" });
    await limiter.check("ada");
    const timers = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    await Promise.all(Array.from({ length: 100 }, (_, at) => limiter.check(`key-${at}`)));
    expect(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length).toBeLessThanOrEqual(timers);
  });
});

describe("a client that behaves oddly", () => {
  const NOSCRIPT = "NOSCRIPT No matching script. Please use EVAL.";
  /** As clients do it that append the command to a message. */
  const echoing = (message: string, command: readonly string[]): Error =>
    new Error(`${message}, command was: ${JSON.stringify(command)}`);

  it("is never taken for a foreign value or a missing script by what it echoes: the key is a user's", async () => {
    const sent: string[] = [];
    const client = async (command: string[]): Promise<never> => {
      sent.push(command[0]!);
      throw command[0] === "EVAL" ? echoing("OOM command not allowed", command) : echoing("ETIMEDOUT", command);
    };
    for (const key of ["WRONGTYPE", "SLUICEGATE", "NOSCRIPT", "noscript", "ada"]) {
      const limiter = new RedisRateLimiter({ ...HOUR, client, name: key });
      expect((await limiter.check(key)).source).toBe("fallback");
    }
    expect(new Set(sent)).toEqual(new Set(["EVALSHA"]));
    // The script itself is echoed by the failure of the second try.
    const flushed = async (command: string[]): Promise<never> => {
      throw echoing(command[0] === "EVAL" ? "OOM command not allowed" : NOSCRIPT, command);
    };
    const limiter = new RedisRateLimiter({ ...HOUR, client: flushed });
    expect((await limiter.check("ada")).source).toBe("fallback");
  });

  it.each([
    "WRONGTYPE Operation against a key holding the wrong kind of value script: 5, on @user_script:12.",
    "ERR Error running script (call to f_5): @user_script:12: WRONGTYPE Operation against a key",
    "ERR user_script:20: SLUICEGATE the value of this key script: 5, on @user_script:20.",
    "ERR Error running script (call to f_5): @user_script:20: user_script:20: SLUICEGATE the value of this key",
    "An error was signalled by the server: - ResponseError: user_script:20: SLUICEGATE the value of this key script: 5",
  ])("whose error is «%s» has found a foreign value", async (message) => {
    const client = async (): Promise<never> => Promise.reject(new Error(message));
    await expect(new RedisRateLimiter({ ...HOUR, client }).check("ada")).rejects.toThrow(
      /is not a log of this package/,
    );
  });

  it.each([
    NOSCRIPT,
    `ReplyError: ${NOSCRIPT}`,
    "An error was signalled by the server: - NoScriptError: No matching script.",
    `Command failed: ${NOSCRIPT}`,
  ])("whose error is «%s» is sent the script", async (message) => {
    const client = async (command: string[]): Promise<number> => {
      if (command[0] === "EVALSHA") throw new Error(message);
      return 1;
    };
    expect(await new RedisRateLimiter({ ...HOUR, client, whenDown: "deny" }).isAllowed("ada")).toBe(true);
  });

  it.each(["MOVED 3999 127.0.0.1:6381", "ASK 3999 127.0.0.1:6381"])(
    "that rejects with «%s» is of one server of a cluster, and admits no call",
    async (message) => {
      const client = async (): Promise<never> => Promise.reject(new Error(message));
      await expect(new RedisRateLimiter({ ...HOUR, client, whenDown: "allow" }).check("ada")).rejects.toThrow(
        /one server of a Redis Cluster: pass the store the client of the cluster/,
      );
    },
  );

  it("does not get the script for a call that has timed out", async () => {
    const sent: string[] = [];
    const client = async (command: string[]): Promise<never> => {
      sent.push(command[0]!);
      await sleep(60);
      throw new Error(NOSCRIPT);
    };
    const limiter = new RedisRateLimiter({ ...HOUR, client, timeout: "10ms" });
    expect((await limiter.check("ada")).source).toBe("fallback");
    await sleep(80);
    expect(sent).toEqual(["EVALSHA"]);
  });

  it("leaves a refund that was not even sent to be tried again", async () => {
    let isDown = false;
    const client = async ([, , , , verb]: string[]): Promise<unknown> => {
      if (isDown) throw new Error("gone");
      return verb === "refund" ? 1 : "1 1 1000 0 3 0 3600000";
    };
    const limiter = new RedisRateLimiter({ ...HOUR, client });
    const decision = await limiter.check("ada");
    isDown = true;
    for (let calls = 0; calls < 3; calls += 1) await limiter.check("ben");
    await expect(limiter.refund(decision)).rejects.toMatchObject({ code: "STORE_ERROR", cause: new Error("gone") });
    isDown = false;
    await vi.waitFor(async () => expect((await limiter.check("ben")).source).toBe("redis"), { timeout: 3000 });
    expect(await limiter.refund(decision)).toBe(true);
    expect(await limiter.refund(decision)).toBe(false);
  });

  it.each([1, 3, 9])(
    "describes a key by `whenDown: allow` as a bypass and a fresh key in memory do, at cost %i",
    async (cost) => {
      const limits = [
        { name: "Burst", maxCalls: 3, period: "10s" },
        { name: "Daily", maxCalls: 9, period: "1d" },
        { name: "Closed", maxCalls: 0, period: "2d" },
      ] as const;
      const down = new RedisStore({ client: async () => Promise.reject(new Error("gone")), whenDown: "allow" });
      const allowing = new LayeredRateLimiter({ limits, store: down });
      const bypassing = new LayeredRateLimiter({ limits, bypass: () => true });
      const flags = { source: "bypass", bypassed: true } as const;
      expect({ ...(await allowing.check("ada", { cost })), ...flags }).toEqual({
        ...(await bypassing.check("ada", { cost })),
      });
      expect({ ...(await allowing.peek("ada", { cost })), ...flags }).toEqual({
        ...(await bypassing.peek("ada", { cost })),
      });

      const store = new MemoryStore({ clock: new ManualClock() });
      const counting = new LayeredRateLimiter({ limits: limits.slice(0, 2), store });
      const { allowed, layers, resetAfterMs } = await counting.check("ada", { cost });
      if (!allowed) return;
      const described = await allowing.check("ada", { cost });
      expect(described.layers.slice(0, 2)).toEqual(layers);
      expect(described.layers[2]).toMatchObject({ used: cost, remaining: 0, moreAfterMs: Infinity });
      expect([described.resetAfterMs, resetAfterMs]).toEqual([2 * 86_400_000, 86_400_000]);
    },
  );

  it("leaves no timer behind, whatever it returns or rejects with", async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const before = timers();
    const odd: (() => unknown)[] = [
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as careless code does it
      () => Promise.reject(Object.create(null)),
      () => {
        throw new Error("at once");
      },
      () => undefined,
      () => 7,
    ];
    for (const [at, send] of odd.entries()) {
      const limiter = new RedisRateLimiter({ ...HOUR, client: send as never, timeout: "20s", name: `odd-${at}` });
      for (let calls = 0; calls < 4; calls += 1) await limiter.check("ada").catch(() => undefined);
      await limiter.reset("ada").catch(() => undefined);
    }
    expect(timers()).toBe(before);
  });

  /** How many of six calls are sent if the reply to each is this error. */
  async function sentBefore(message: string): Promise<number> {
    let sent = 0;
    const client = async (): Promise<never> => {
      sent += 1;
      throw new Error(message);
    };
    const limiter = new RedisRateLimiter({ ...HOUR, client, onStoreError: () => undefined });
    for (let call = 0; call < 6; call += 1) await limiter.check("ada").catch(() => undefined);
    return sent;
  }

  it.each([
    "Connection is closed.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "CLUSTERDOWN The cluster is down",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "ERR max number of clients reached",
  ])("gets no command for a while after three replies of «%s», which are about the server", async (message) => {
    expect(await sentBefore(message)).toBe(3);
  });

  it.each([
    "WRONGTYPE Operation against a key holding the wrong kind of value script: 5, on @user_script:12.",
    "ERR user_script:20: SLUICEGATE the value of this key script: 5, on @user_script:20.",
    "OOM command not allowed when used memory > 'maxmemory'. script: 5, on @user_script:175.",
    "READONLY You can't write against a read only replica. script: 5, on @user_script:175.",
    "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
    "NOREPLICAS Not enough good replicas to write.",
    "ERR Error running script (call to f_5): @user_script:175: -READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_5): @user_script:175: @user_script: 175: -OOM command not allowed when used memory",
    "NOPERM this user has no permissions to access one of the keys used as arguments",
    "ERR The user executing the script can't run this command or subcommand script: 5, on @user_script:1.",
    "ERR ACL failure in script: User limiter has no permissions to run the 'time' command script: 5, on @user_script:1.",
  ])(
    "still gets commands after replies of «%s», which are about one key or one command, or a refusal of writes",
    async (message) => {
      expect(await sentBefore(message)).toBe(6);
    },
  );
});

describe("the options of a RedisStore", () => {
  const client = async (): Promise<never> => Promise.reject(new Error("no server"));
  it.each<[object, RegExp]>([
    [{ client: {} }, /^Expected `client` to be a client of ioredis, .* or a function that sends a command/],
    [{ client: undefined }, /^Expected `client`/],
    [{ client: Redis }, /^Expected `client` to be a client of ioredis/],
    [{ client: "redis://localhost" }, /^Expected `client` .* got `redis:\/\/localhost` \(string\)$/],
    [{ client, keyPrefix: "" }, /^Expected `keyPrefix` to be a non-empty string/],
    [{ client, keyPrefix: 7 }, /^Expected `keyPrefix`/],
    [{ client, timeout: 100 }, /^Expected `timeout` to be a duration with its unit/],
    [{ client, timeout: "0ms" }, /^Expected `timeout`/],
    [{ client, timeout: "25d" }, /^Expected `timeout` to be at most 24 days, got `25d` \(string\)$/],
    [{ client, whenDown: "open" }, /^Expected `whenDown` to be "local" or "allow" or "deny"/],
    [{ client, whenDown: {} }, /^Expected `whenDown` to be "local", "allow", "deny" or a store/],
    [{ client, whenDown: null }, /^Expected `whenDown`/],
    [{ client, instances: 0 }, /^Expected `instances` to be a positive integer/],
    [{ client, denyCache: true }, /^Expected `denyCache` to be an object with the options maxAge, got `true`/],
    [{ client, denyCache: null }, /^Expected `denyCache`/],
    [{ client, denyCache: { maxAge: 1000 } }, /^Expected `denyCache.maxAge` to be a duration with its unit/],
    [{ client, denyCache: { ttl: "1s" } }, /^Expected `ttl` to be one of the options maxAge/],
    [{ client, warnings: 0 }, /^Expected `warnings` to be a boolean, got `0` \(number\)$/],
    [{ client, onStoreError: "log" }, /^Expected `onStoreError` to be a function/],
    [{ client, prefix: "x" }, /^Expected `prefix` to be one of the options client, keyPrefix/],
  ])("%j are refused in words", (options, message) => {
    expect(() => new RedisStore(options as never)).toThrow(message);
    expect(() => new RedisRateLimiter({ ...HOUR, ...options } as never)).toThrow(/^Expected `/);
  });

  it("of a RedisRateLimiter have no store and no clock", () => {
    const options = { ...HOUR, client };
    for (const wrong of [{ store: new MemoryStore() }, { clock: { now: () => 0 } }]) {
      expect(() => new RedisRateLimiter({ ...options, ...wrong } as never)).toThrow(TypeError);
    }
    expect(() => new RedisRateLimiter({ ...options, maxCalls: -1 })).toThrow(RangeError);
    const limiter = new AsyncRateLimiter({ ...HOUR, store: new RedisStore({ client }) });
    expect(() => limiter.checkSync("ada")).toThrow(TypeError);
  });
});
