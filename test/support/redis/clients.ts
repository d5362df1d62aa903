import { GlideClient, GlideClusterClient, Logger } from "@valkey/valkey-glide";
import { Redis as Upstash } from "@upstash/redis";
import { Cluster, Redis } from "ioredis";
import { Cluster as ValkeyCluster, Redis as Valkey } from "iovalkey";
import { createClient, createClientPool, createCluster, createSentinel } from "redis";
import type { RedisClient } from "sluicegate/redis";
import { UpstashStandIn } from "./upstash-stand-in.js";

export interface Connected {
  readonly client: RedisClient;
  /** The prefix that the client adds to every key. */
  readonly ownPrefix?: string;
  readonly close: () => Promise<unknown>;
}

/** The address of a server. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

type Clients<Where> = Readonly<Record<string, (where: Where) => Promise<Connected>>>;

Logger.init("off");

interface Listening {
  on(event: "error", listener: () => void): unknown;
}

function quiet(client: RedisClient & Listening & { quit(): Promise<unknown> }): Connected {
  client.on("error", () => undefined);
  // The client sends commands of its own after a slot has moved; `quit` waits for their replies before the servers stop.
  return { client, close: () => client.quit() };
}

async function connected(
  client: RedisClient & Listening & { connect(): Promise<unknown>; destroy(): unknown },
): Promise<Connected> {
  client.on("error", () => undefined);
  await client.connect();
  return { client, close: async () => client.destroy() };
}

/** The clients of one server. */
export const CLIENTS: Clients<Address> = {
  "ioredis, RESP2": async (server) => quiet(new Redis({ ...server, protocol: 2 })),
  "ioredis, RESP3": async (server) => quiet(new Redis({ ...server, protocol: 3 })),
  "ioredis with a key prefix of its own": async (server) => quiet(new Redis({ ...server, keyPrefix: "app[1]:" })),
  iovalkey: async (server) => quiet(new Valkey(server)),
  "node-redis, RESP2": (socket) => connected(createClient({ socket, RESP: 2 })),
  "node-redis, RESP3": (socket) => connected(createClient({ socket, RESP: 3 })),
  "a pool of node-redis": (socket) => connected(createClientPool({ socket })),
  "valkey-glide": async (server) => {
    const client = await GlideClient.createClient({ addresses: [server], requestTimeout: 5000 });
    return { client, close: async () => client.close() };
  },
  "upstash, by its protocol": async ({ port }) => {
    const standIn = await UpstashStandIn.before(port);
    const client = new Upstash({ url: standIn.url, token: UpstashStandIn.token, retry: false, enableTelemetry: false });
    return { client, close: async () => standIn.close() };
  },
  "a function": async (server) => {
    const redis = new Redis(server);
    return { ...quiet(redis), client: ([command = "", ...words]) => redis.call(command, ...words) };
  },
};

/** The clients of a cluster. */
export const CLUSTER_CLIENTS: Clients<readonly Address[]> = {
  "a cluster of ioredis": async (nodes) => quiet(new Cluster([...nodes])),
  "a cluster of ioredis with a key prefix of its own": async (nodes) => ({
    ...quiet(new Cluster([...nodes], { keyPrefix: "app[1]:" })),
    ownPrefix: "app[1]:",
  }),
  "a cluster of iovalkey": async (nodes) => quiet(new ValkeyCluster([...nodes])),
  "a cluster of node-redis": (nodes) =>
    connected(createCluster({ rootNodes: nodes.map((socket) => ({ socket: { ...socket } })) })),
  "a cluster of valkey-glide": async (nodes) => {
    const client = await GlideClusterClient.createClient({ addresses: [...nodes], requestTimeout: 5000 });
    return { client, close: async () => client.close() };
  },
};

/** The clients that learn from a sentinel which server is the primary of a group. */
export const SENTINEL_CLIENTS: Clients<{ readonly sentinel: Address; readonly group: string }> = {
  "ioredis through a sentinel": async ({ sentinel, group }) => quiet(new Redis({ sentinels: [sentinel], name: group })),
  "iovalkey through a sentinel": async ({ sentinel, group }) =>
    quiet(new Valkey({ sentinels: [sentinel], name: group })),
  "a sentinel of node-redis": ({ sentinel, group }) =>
    connected(createSentinel({ name: group, sentinelRootNodes: [sentinel] })),
};
