import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { AsyncRateLimiter } from "sluicegate";
import { RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hashedPart } from "../../src/redis/hash-tag.js";
import type { Connected } from "./clients.js";
import { CLUSTER_CLIENTS } from "./clients.js";
import { ClusterProcess } from "./cluster-process.js";
import { withoutRedis } from "./redis-process.js";

describe.skipIf(withoutRedis !== undefined)("a RedisStore of a cluster", () => {
  let servers: ClusterProcess;
  beforeAll(async () => {
    servers = await ClusterProcess.start();
  });
  afterAll(() => servers.kill());

  const slotOf = async (key: string): Promise<number> =>
    Number(await servers.primaries[0]!.admin.call("CLUSTER", "KEYSLOT", key));

  it("takes for the tag of a key what the servers do", async () => {
    const texts = fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom("{", "}", "a", ":", "é") }));
    await fc.assert(
      fc.asyncProperty(texts, async (key) => {
        // A tag alone has none: a `{` in it is not closed.
        expect(await slotOf(hashedPart(key))).toBe(await slotOf(key));
      }),
      { numRuns: 500 },
    );
  });

  describe.each(Object.entries(CLUSTER_CLIENTS))("through %s", (name, connect) => {
    let connected: Connected;
    beforeAll(async () => {
      connected = await connect(servers.nodes);
    });
    afterAll(() => connected.close());

    it("stays exact while slots move under load, and nobody else has to answer", async () => {
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

    it("forgets every key of a space, though their slot moves meanwhile", async () => {
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
