// Run by `bun test`, which takes `vitest` for its own runner: the store contract through Bun's client.
import { RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { itIsAStore } from "../../store-contract.js";

interface BunClient {
  send(command: string, words: string[]): Promise<unknown>;
  getBuffer(key: string): Promise<unknown>;
  close(): void;
}

const { RedisClient } = (globalThis as unknown as { Bun: { RedisClient: new (url: string) => BunClient } }).Bun;

describe("a RedisStore through Bun's client", () => {
  const client = new RedisClient(process.env["REDIS_URL"]!);
  let made = 0;
  beforeAll(async () => {
    await client.send("PING", []);
  });
  afterAll(() => client.close());

  itIsAStore({
    store: () => new RedisStore({ client, keyPrefix: `p${(made += 1)}`, timeout: "5s", whenDown: "deny" }),
    source: "redis",
  });

  it("is recognised by its shape", () => {
    expect(() => new RedisStore({ client: { send: () => undefined } as never })).toThrow(/^Expected `client`/);
  });
});
