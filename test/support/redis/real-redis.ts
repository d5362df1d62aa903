import { Redis } from "ioredis";
import { afterAll, beforeAll } from "vitest";
import { RedisProcess } from "./redis-process.js";

/** A server of the surrounding `describe`, started before its tests and stopped after them, and a client of it. */
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
