import { readFileSync } from "node:fs";
import { GlideClient, GlideClusterClient } from "@valkey/valkey-glide";
import { Cluster, Redis } from "ioredis";
import { createClient, createCluster } from "redis";
import { allOf, AsyncRateLimiter, type Decision } from "sluicegate";
import { hashTagged, type RedisClient, RedisStore } from "sluicegate/redis";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { realRedis } from "../../support/redis/real-redis.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

/** The permissions that the guide lists. */
const GUIDE = readFileSync(new URL("../../../docs/guide/redis-in-production.md", import.meta.url), "utf8");
const RULES = /^ACL SETUSER limiter (.+)$/m.exec(GUIDE)![1]!.split(" ");
const USER = { username: "limiter", password: "secret" } as const;

const CALLS = [
  "isAllowed",
  "check",
  "peek",
  "state",
  "deep",
  "allOf",
  "deepAllOf",
  "strike",
  "lock",
  "unlock",
] as const;
type Use = (typeof CALLS)[number] | "refund" | "resetKey" | "reset";

/** Uses everything of a store. Resolves with what failed: was decided by `whenDown`, or rejected. */
async function failuresThrough(client: RedisClient): Promise<{ readonly failed: Use[]; readonly errors: Error[] }> {
  const errors: Error[] = [];
  const onStoreError = (error: unknown): void => void errors.push(error as Error);
  const store = new RedisStore({ client, timeout: "5s", denyCache: false, onStoreError });
  const limiter = new AsyncRateLimiter({ maxCalls: 1000, period: "1h", name: "one", store });
  const both = allOf({ one: limiter, two: new AsyncRateLimiter({ maxCalls: 1000, period: "1h", name: "two", store }) });
  const [shallow, deep] = [hashTagged("a", "shallow"), hashTagged("a", "deep")];
  const failed: Use[] = [];
  const use = async <T>(what: Use, call: () => Promise<T>): Promise<T | undefined> => {
    const before = errors.length;
    const result = await call().catch(() => undefined);
    if (errors.length > before) failed.push(what);
    return result;
  };
  await use("isAllowed", () => limiter.isAllowed(shallow));
  const first = await use("check", () => limiter.check(shallow));
  await use("peek", () => limiter.peek(shallow));
  await use("state", () => limiter.state(shallow));
  await use("refund", () => limiter.refund(first as Decision));
  await use("allOf", async () => both.refund(await both.check({ one: shallow, two: shallow })));
  // The second and third let the log grow, and the fourth is written in place.
  await use("deep", async () => {
    for (const cost of [100, 100, 5, 5]) await limiter.check(deep, { cost });
  });
  await use("deepAllOf", () => both.check({ one: deep, two: shallow }));
  const locking = new AsyncRateLimiter({ maxCalls: 1, period: "1h", lockFor: "1h", name: "locking", store });
  await use("strike", async () => {
    for (const cost of [1, 1]) await locking.check(shallow, { cost });
  });
  // A key without calls is deleted with its lock.
  await use("lock", () => locking.lock(hashTagged("a", "banned"), "1h"));
  await use("unlock", () => locking.unlock(hashTagged("a", "banned")));
  await use("resetKey", () => limiter.reset(shallow));
  await use("reset", () => limiter.reset());
  return { failed, errors };
}

describe.skipIf(withoutRedis !== undefined)("a Redis user with the permissions of the guide", () => {
  const redis = realRedis();
  let closing: (() => unknown)[] = [];
  const permit = (...rules: readonly string[]): Promise<unknown> =>
    redis.client.call("ACL", "SETUSER", USER.username, "reset", ...rules);
  const connect = (): Redis => {
    const client = new Redis({ ...USER, port: redis.client.options.port!, enableReadyCheck: false });
    closing.push(() => client.disconnect());
    return client;
  };
  beforeEach(async () => {
    await redis.client.flushall();
    await redis.client.script("FLUSH");
  });
  afterEach(() => {
    for (const close of closing) close();
    closing = [];
  });

  it("may do everything, through ioredis, node-redis and, with what the guide adds, valkey-glide", async () => {
    await permit(...RULES);
    expect(await failuresThrough(connect())).toEqual({ failed: [], errors: [] });
    const { port } = redis.client.options;
    const nodeRedis = createClient({ url: `redis://limiter:secret@127.0.0.1:${port}` });
    nodeRedis.on("error", () => undefined);
    await nodeRedis.connect();
    closing.push(() => nodeRedis.destroy());
    expect(await failuresThrough(nodeRedis)).toEqual({ failed: [], errors: [] });

    await permit(...RULES, "+info");
    const addresses = [{ host: "127.0.0.1", port: port! }];
    const glide = await GlideClient.createClient({ addresses, credentials: USER });
    closing.push(() => glide.close());
    expect(await failuresThrough(glide)).toEqual({ failed: [], errors: [] });
  });

  it.each<[string, readonly Use[]]>([
    ["evalsha", [...CALLS]],
    ["eval", [...CALLS]],
    ["time", [...CALLS]],
    ["getrange", [...CALLS]],
    ["~rate_limit:*", [...CALLS, "resetKey"]],
    ["set", ["isAllowed", "check", "deep", "allOf", "deepAllOf", "strike", "lock"]],
    ["setrange", ["refund", "deep", "allOf", "deepAllOf"]],
    ["pexpire", ["deep", "deepAllOf"]],
    ["strlen", ["deepAllOf"]],
    ["unlink", ["unlock", "resetKey", "reset"]],
    ["scan", ["reset"]],
  ])("fails without %s in the methods that the guide lists, and in no other", async (missing, expected) => {
    const rules = RULES.filter((rule) => rule !== missing && rule !== `+${missing}`);
    expect(rules).toHaveLength(RULES.length - 1);
    await permit(...rules);
    const { failed, errors } = await failuresThrough(connect());
    expect([...failed].sort()).toEqual([...expected].sort());
    for (const { message, cause } of errors) {
      expect(message).toBe("The Redis user of the client lacks a permission");
      expect((cause as Error).message).toMatch(/NOPERM|can't run this command/);
    }
  });

  it("leaves a deep log unchanged if a call on it is not permitted", async () => {
    await permit(...RULES);
    const limiter = new AsyncRateLimiter({
      maxCalls: 1000,
      period: "1h",
      store: new RedisStore({ client: connect() }),
    });
    for (const cost of [100, 100, 5]) await limiter.check("ada", { cost });
    for (const missing of ["+setrange", "+pexpire"]) {
      await permit(...RULES.filter((rule) => rule !== missing));
      const before = await redis.client.getBuffer("rate_limit:default:ada");
      const other = new AsyncRateLimiter({
        maxCalls: 1000,
        period: "1h",
        store: new RedisStore({ client: connect() }),
      });
      expect((await other.check("ada")).source).toBe("fallback");
      expect(await redis.client.getBuffer("rate_limit:default:ada")).toEqual(before);
    }
  });
});

describe.skipIf(withoutRedis !== undefined)("a Redis user of a cluster with the permissions of the guide", () => {
  let cluster: ClusterProcess;
  beforeAll(async () => {
    cluster = await ClusterProcess.start();
  });
  afterAll(() => cluster.kill());

  const permit = (...rules: readonly string[]): Promise<unknown> =>
    Promise.all(cluster.primaries.map(({ admin }) => admin.call("ACL", "SETUSER", USER.username, "reset", ...rules)));

  it("may do everything, through ioredis, node-redis and valkey-glide, with what the guide adds for each", async () => {
    await permit(...RULES, "+cluster|slots", "+cluster|info");
    const ioredis = new Cluster(cluster.nodes, { redisOptions: { ...USER, enableReadyCheck: false } });
    ioredis.on("error", () => undefined);
    expect(await failuresThrough(ioredis)).toEqual({ failed: [], errors: [] });
    ioredis.disconnect();

    await permit(...RULES, "+cluster|slots");
    const nodeRedis = createCluster({ rootNodes: cluster.nodes.map((socket) => ({ socket })), defaults: { ...USER } });
    nodeRedis.on("error", () => undefined);
    await nodeRedis.connect();
    expect(await failuresThrough(nodeRedis)).toEqual({ failed: [], errors: [] });
    nodeRedis.destroy();

    await permit(...RULES, "+cluster|slots", "+ping", "+client|setname");
    const glide = await GlideClusterClient.createClient({ addresses: cluster.nodes, credentials: USER });
    expect(await failuresThrough(glide)).toEqual({ failed: [], errors: [] });
    glide.close();
  });
});
