import { Redis } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import { RedisProcess } from "./redis-process.js";

/** A client of a server that starts before the tests of the surrounding `describe`, and stops after them. */
export function realRedis(...options: readonly string[]): { readonly client: Redis } {
  let redis: RedisProcess;
  let client: Redis;
  beforeAll(async () => {
    redis = await RedisProcess.start(...options);
    client = new Redis(redis.port, "127.0.0.1");
  });
  afterAll(async () => {
    client.disconnect();
    await redis.kill();
  });
  return {
    get client() {
      return client;
    },
  };
}
