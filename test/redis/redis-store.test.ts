import { MemoryStore } from "sluicegate";
import { RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe } from "vitest";
import { itIsAStore } from "../contract/store-contract.js";
import type { Connected } from "./clients.js";
import { CLIENTS } from "./clients.js";
import { RedisProcess, withoutRedis } from "./redis-process.js";

describe("a MemoryStore", () => {
  itIsAStore({ store: () => new MemoryStore(), source: "memory" });
});

describe.skipIf(withoutRedis !== undefined)("a RedisStore", () => {
  let redis: RedisProcess;
  beforeAll(async () => {
    redis = await RedisProcess.start();
  });
  afterAll(() => redis.kill());

  describe.each(Object.entries(CLIENTS))("through %s", (_, connect) => {
    let connected: Connected;
    let made = 0;
    beforeAll(async () => {
      connected = await connect(redis.port);
      await connected.send("FLUSHALL");
    });
    afterAll(() => connected.close());

    itIsAStore({
      store: () =>
        new RedisStore({ client: connected.client, keyPrefix: `p${(made += 1)}`, timeout: "5s", whenDown: "deny" }),
      source: "redis",
    });
  });
});
