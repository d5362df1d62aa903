import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { AsyncRateLimiter } from "sluicegate";
import { Cluster } from "ioredis";
import { createCluster } from "redis";
import { type RedisClient, RedisRateLimiter, RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { hashedPart } from "../../../src/redis/redis-backend.js";
import type { Connected } from "../../support/redis/clients.js";
import { CLUSTER_CLIENTS } from "../../support/redis/clients.js";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { withoutRedis } from "../../support/redis/redis-process.js";

describe.skipIf(withoutRedis !== undefined)("a RedisStore of a cluster", () => {
  let servers: ClusterProcess;
  beforeAll(async () => {
    servers = await ClusterProcess.start();
  });
  afterAll(() => servers.kill());

  const slotOf = async (key: string): Promise<number> =>
    Number(await servers.primaries[0]!.admin.call("CLUSTER", "KEYSLOT", key));

  it("finds the same hash tag in a key as the servers", async () => {
    const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("{", "}", "a", ":", "é") }));
    await fc.assert(
      fc.asyncProperty(texts, async (key) => {
        // The tag alone has no tag: a `{` in it is not closed.
        expect(await slotOf(hashedPart(key))).toBe(await slotOf(key));
      }),
      { numRuns: 500 },
    );
  });

  it("resets all keys if the client connects lazily, and rejects if it is not connected", async () => {
    const limiterOf = (client: RedisClient): AsyncRateLimiter => {
      const store = new RedisStore({ client, keyPrefix: "unconnected", timeout: "5s", whenDown: "deny" });
      return new AsyncRateLimiter({ maxCalls: 3, period: "1h", name: "s", store });
    };
    const connected = new Cluster(servers.nodes);
    const keys = Array.from({ length: 90 }, (_, at) => `key-${at}`);
    await Promise.all(keys.map((key) => limiterOf(connected).check(key)));
    const left = async (): Promise<number> => {
      const states = await Promise.all(keys.map((key) => limiterOf(connected).state(key)));
      return states.filter(({ calls }) => calls > 0).length;
    };
    const nodeRedis = createCluster({ rootNodes: servers.nodes.map((socket) => ({ socket })) });
    await expect(limiterOf(nodeRedis).reset()).rejects.toMatchObject({ code: "STORE_ERROR" });
    expect(await left()).toBe(90);
    const lazy = new Cluster(servers.nodes, { lazyConnect: true });
    await limiterOf(lazy).reset();
    expect(await left()).toBe(0);
    await Promise.all([lazy.quit(), connected.quit()]);
  });

  it("rejects a reset if the client does not know all primaries", async () => {
    const client = {
      isCluster: true,
      call: async () => [
        [0, 8191, ["127.0.0.1", 7000, "a"]],
        [8192, 16_383, ["127.0.0.1", 7001, "b"]],
      ],
      defineCommand: () => undefined,
      nodes: () => [{ call: async () => ["0", []] }],
      refreshSlotsCache: (done: () => void) => done(),
    };
    await expect(new RedisRateLimiter({ maxCalls: 1, period: "1h", client }).reset()).rejects.toMatchObject({
      code: "STORE_ERROR",
      cause: new Error("The client knows 1 of 2 primaries of its Redis Cluster"),
    });
  });

  it("warns of clients that group scripts into pipelines automatically", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const make = (options: object): void => {
      const client = new Cluster([{ host: "127.0.0.1", port: 1 }], { lazyConnect: true, ...options });
      new RedisStore({ client });
      client.disconnect();
    };
    make({});
    make({ enableAutoPipelining: true, autoPipeliningIgnoredCommands: ["EVALSHA", "EVAL", "UNLINK"] });
    expect(warned).not.toHaveBeenCalled();
    make({ enableAutoPipelining: true });
    expect(warned).toHaveBeenCalledOnce();
  });

  describe.each(Object.entries(CLUSTER_CLIENTS))("through %s", (name, connect) => {
    let connected: Connected;
    beforeAll(async () => {
      connected = await connect(servers.nodes);
    });
    afterAll(() => connected.close());

    it("admits exactly the limit while slots move under load", async () => {
      const keyPrefix = `moving-${name.length}`;
      const store = new RedisStore({
        client: connected.client,
        keyPrefix,
        timeout: "5s",
        whenDown: "deny",
        denyCache: false,
      });
      const limiter = new AsyncRateLimiter({ maxCalls: 300, period: "1h", name: "s", store });
      const keys = Array.from({ length: 12 }, (_, at) => `key-${at}`);
      const admitted = new Map(keys.map((key) => [key, 0]));
      let isMoving = true;
      const caller = async (key: string): Promise<void> => {
        while (isMoving) if (await limiter.isAllowed(key)) admitted.set(key, admitted.get(key)! + 1);
      };
      const callers = keys.flatMap((key) => [caller(key), caller(key)]);
      const moves = servers.moved;
      for (const key of keys.slice(0, 6)) {
        const slot = await slotOf(`${connected.ownPrefix ?? ""}${keyPrefix}:s:${key}`);
        const from = await servers.ownerOf(slot);
        await servers.migrate(
          slot,
          from,
          servers.primaries.find((member) => member !== from)!,
        );
      }
      expect(servers.moved).toBeGreaterThan(moves);
      await Promise.all(keys.map(async (key) => expect.poll(() => admitted.get(key), { timeout: 20_000 }).toBe(300)));
      isMoving = false;
      await Promise.all(callers);
      expect([...admitted.values()]).toEqual(keys.map(() => 300));
    });

    it("resets every key of a namespace while its slot moves", async () => {
      const keyPrefix = `reset-${name.length}`;
      const store = new RedisStore({ client: connected.client, keyPrefix, timeout: "5s", whenDown: "deny" });
      const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1h", name: "s", store });
      const keys = Array.from({ length: 900 }, (_, at) => (at % 3 === 0 ? `key-${at}` : `{moving}-${at}`));
      await Promise.all(keys.map((key) => limiter.check(key)));
      const slot = await slotOf("{moving}");
      const from = await servers.ownerOf(slot);
      const moving = servers.migrate(
        slot,
        from,
        servers.primaries.find((member) => member !== from)!,
      );
      await sleep(100);
      await limiter.reset();
      await moving;
      const states = await Promise.all(keys.map((key) => limiter.state(key)));
      expect(states.filter(({ calls }) => calls > 0)).toHaveLength(0);
    });
  });
});
