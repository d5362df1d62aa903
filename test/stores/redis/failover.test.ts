import { setTimeout as sleep } from "node:timers/promises";
import { Cluster, Redis } from "ioredis";
import { AsyncRateLimiter, type Decision } from "sluicegate";
import { type RedisClient, RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ClusterProcess, type Member, until } from "../../support/redis/cluster-process.js";
import { type RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";
import { SentinelProcess } from "../../support/redis/sentinel-process.js";

/** A primary and its replica, and a client that follows a failover. */
interface Pair {
  readonly client: RedisClient;
  readonly primary: RedisProcess;
  readonly replica: RedisProcess;
  /** Connections to each server, which do not follow a failover. */
  readonly onPrimary: Redis;
  readonly onReplica: Redis;
  /** The name of a key that these servers store. */
  readonly key: (name: string) => string;
  readonly prefix: string;
}

const MAX_CALLS = 100;

/**
 * Kills a primary under load while its replica lags behind, and compares the admitted calls with the lost ones.
 */
async function failOver({ client, primary, replica, onPrimary, onReplica, key, prefix }: Pair): Promise<void> {
  const onStoreError: unknown[] = [];
  const store = new RedisStore({
    client,
    keyPrefix: prefix,
    denyCache: false,
    timeout: "1s",
    whenDown: "deny",
    onStoreError: (error) => onStoreError.push(error),
  });
  const limiter = new AsyncRateLimiter({ maxCalls: MAX_CALLS, period: "1h", name: "s", store });
  const keys = Array.from({ length: 8 }, (_, at) => key(`key-${at}`));
  const admitted = new Map(keys.map((name) => [name, 0]));
  const check = async (name: string): Promise<Decision | undefined> => {
    const decision = await limiter.check(name).catch(() => undefined);
    if (decision?.allowed === true) admitted.set(name, admitted.get(name)! + 1);
    return decision;
  };
  const burst = async (calls: number): Promise<void> => {
    await Promise.all(keys.flatMap((name) => Array.from({ length: calls }, () => check(name))));
  };
  await burst(1);
  await burst(59);
  await until(
    async () => (await offsetOf(onPrimary, "master_repl_offset")) === (await offsetOf(onReplica, "slave_repl_offset")),
  );

  // From now on the replica receives nothing. The link is closed too, or the replica would later read what was sent.
  replica.signal("SIGSTOP");
  // A replica that is not stopped yet would start a full copy, and discard its data.
  await sleep(100);
  await onPrimary.call("CLIENT", "KILL", "TYPE", "replica");
  await Promise.all([burst(55), sleep(50)]);
  expect([...admitted.values()]).toEqual(keys.map(() => MAX_CALLS));
  // These calls fail, or the new primary decides them.
  const meanwhile = burst(5);
  await primary.kill();
  const killedAt = performance.now();
  replica.signal("SIGCONT");
  await meanwhile;

  let recovered: Decision | undefined;
  await until(async () => (recovered = await check(keys[0]!)) !== undefined);
  const outage = performance.now() - killedAt;
  expect(recovered?.source).toBe("redis");
  await until(async () => {
    await burst(30);
    return (await Promise.all(keys.map(check))).every((decision) => decision?.allowed === false);
  });

  // Every log is full again, so the calls above the limit are those that the replica had not received.
  const states = await Promise.all(keys.map((name) => limiter.state(name)));
  expect(states.map(({ calls }) => calls)).toEqual(keys.map(() => MAX_CALLS));
  expect([...admitted.values()]).toEqual(keys.map(() => MAX_CALLS + 40));

  // The new primary did not have the script, and received it.
  const stats = await onReplica.info("commandstats");
  expect(stats).toMatch(/cmdstat_eval:calls=[1-9]/);
  expect(stats).toMatch(
    /errorstat_NOSCRIPT|cmdstat_evalsha:[^\n]*failed_calls=[1-9]|cmdstat_evalsha:[^\n]*rejected_calls=[1-9]/,
  );
  expect(onStoreError.length).toBeGreaterThan(0);
  console.info(`recovered ${Math.round(outage)} ms after the primary was killed`);
}

/** The replication offset of a server. */
async function offsetOf(redis: Redis, name: string): Promise<string | undefined> {
  return new RegExp(`^${name}:(\\d+)`, "m").exec(await redis.info("replication"))?.[1];
}

describe.skipIf(withoutRedis !== undefined)("a failover to a replica that lags behind", () => {
  describe("by a sentinel", () => {
    let servers: SentinelProcess;
    beforeAll(async () => {
      servers = await SentinelProcess.start();
    });
    afterAll(() => servers.kill());

    it("admits as many calls above the limit as were not replicated", async () => {
      const { primary, replica, sentinel } = servers;
      const client = new Redis({
        sentinels: [{ host: "127.0.0.1", port: sentinel.port }],
        name: SentinelProcess.group,
        sentinelRetryStrategy: () => 100,
        autoResendUnfulfilledCommands: false,
        enableOfflineQueue: false,
        retryStrategy: () => 100,
      });
      client.on("error", () => undefined);
      const [onPrimary, onReplica] = [primary, replica].map(
        ({ port }) => new Redis({ port, retryStrategy: () => 100 }),
      );
      for (const redis of [onPrimary!, onReplica!]) redis.on("error", () => undefined);
      await until(() => client.ping());
      await failOver({
        ...{ client, primary, replica, onPrimary: onPrimary!, onReplica: onReplica! },
        ...{ key: (name) => name, prefix: "f" },
      });
      for (const redis of [client, onPrimary!, onReplica!]) redis.disconnect();
    });
  });

  describe("of a cluster", () => {
    let servers: ClusterProcess;
    let primary: Member;
    let replica: Member;
    beforeAll(async () => {
      servers = await ClusterProcess.start();
      primary = servers.primaries[0]!;
      replica = await servers.addReplica(primary);
    });
    afterAll(() => servers.kill());

    it("admits as many calls above the limit as were not replicated", async () => {
      const client = new Cluster(servers.nodes, {
        clusterRetryStrategy: () => 100,
        retryDelayOnFailover: 0,
        redisOptions: { connectTimeout: 500 },
      });
      client.on("error", () => undefined);
      await until(() => client.ping());
      // "b" is in a slot of the first primary.
      await failOver({
        ...{ client, primary: primary.process, replica: replica.process },
        ...{ onPrimary: primary.admin, onReplica: replica.admin, key: (name) => `{b}${name}`, prefix: "f" },
      });
      client.disconnect();
    });
  });
});
