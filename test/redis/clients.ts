import { Redis } from "ioredis";
import { createClient, createClientPool } from "redis";
import type { RedisClient } from "sluicegate/redis";

export interface Connected {
  readonly client: RedisClient;
  /** How the values that a test plants or looks at are sent. */
  readonly send: (...command: string[]) => Promise<unknown>;
  readonly close: () => Promise<void>;
}

type Connect = (port: number) => Promise<Connected>;

async function ioredis(port: number, options: object): Promise<Connected> {
  const client = new Redis({ port, host: "127.0.0.1", ...options });
  client.on("error", () => undefined);
  await client.ping();
  return {
    client,
    send: (command = "", ...words) => client.call(command, ...words),
    close: async () => client.disconnect(),
  };
}

async function nodeRedis(port: number, RESP: 2 | 3): Promise<Connected> {
  const client = createClient({ socket: { port, host: "127.0.0.1" }, RESP });
  client.on("error", () => undefined);
  await client.connect();
  return { client, send: (...command) => client.sendCommand(command), close: async () => client.destroy() };
}

/** The clients that every test of the store runs with. */
export const CLIENTS: Readonly<Record<string, Connect>> = {
  "ioredis, RESP2": (port) => ioredis(port, { protocol: 2 }),
  "ioredis, RESP3": (port) => ioredis(port, { protocol: 3 }),
  "ioredis with a key prefix of its own": (port) => ioredis(port, { keyPrefix: "app[1]:" }),
  "node-redis, RESP2": (port) => nodeRedis(port, 2),
  "node-redis, RESP3": (port) => nodeRedis(port, 3),
  "a pool of node-redis": async (port) => {
    const pool = createClientPool({ socket: { port, host: "127.0.0.1" } });
    pool.on("error", () => undefined);
    await pool.connect();
    return { client: pool, send: (...command) => pool.sendCommand(command), close: async () => pool.destroy() };
  },
  "a function": async (port) => {
    const { send, close } = await ioredis(port, {});
    return { client: (command) => send(...command), send, close };
  },
};
