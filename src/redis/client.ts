import { expected } from "../core/expected.js";

/** Sends one command, its words in order, and resolves with what Redis replied. */
export type Send = (command: string[]) => Promise<unknown>;

/** A client of `ioredis`, or of a fork of it: `call` and `defineCommand` are what tells it. */
export interface IoredisLike {
  call(command: string, ...words: string[]): Promise<unknown>;
  defineCommand(name: string, definition: never): unknown;
  readonly options?: { readonly keyPrefix?: string | undefined } | undefined;
}

/** A client or a pool of `redis` (node-redis): `sendCommand` and `evalSha` are what tells it. */
export interface NodeRedisLike {
  sendCommand(command: string[]): Promise<unknown>;
  evalSha(...given: never): unknown;
}

/** Who talks to Redis: a client of `ioredis` or `redis`, or a function that sends a command by any other. */
export type RedisClient = IoredisLike | NodeRedisLike | Send;

/** A client as this package uses it. */
export interface Connection {
  readonly send: Send;
  /** What the client itself puts before every key of a command, and leaves in the keys that Redis replies with. */
  readonly ownPrefix: string;
}

/**
 * Finds out how to talk through a client. By what it can do, and never by the name of its constructor, which is another in
 * every version.
 *
 * @throws TypeError for an object that is no client.
 */
export function connectionOf(client: unknown): Connection {
  refuseClusters(client);
  if (typeof client === "function") return { send: client as Send, ownPrefix: "" };
  const { call, defineCommand, options, sendCommand, evalSha } = (client ?? {}) as Partial<IoredisLike & NodeRedisLike>;
  if (typeof call === "function" && typeof defineCommand === "function") {
    const ioredis = client as IoredisLike;
    const send: Send = ([command = "", ...words]) => ioredis.call(command, ...words);
    return { send, ownPrefix: options?.keyPrefix ?? "" };
  }
  if (typeof sendCommand === "function" && typeof evalSha === "function") {
    const redis = client as NodeRedisLike;
    return { send: (command) => redis.sendCommand(command), ownPrefix: "" };
  }
  const rule = "a client of ioredis or redis, or a function that sends a command: `(command: string[]) => Promise`";
  throw new TypeError(expected("client", rule, client));
}

/** A cluster has other signatures, or scans one of its nodes: it would look as if it worked. */
function refuseClusters(client: unknown): void {
  const { isCluster, getSlotMaster, getMasterNode } = (client ?? {}) as Readonly<Record<string, unknown>>;
  if (isCluster !== true && getSlotMaster === undefined && getMasterNode === undefined) return;
  const rule = "a client of one server: clusters, and sentinels of node-redis, are not supported in this version";
  throw new TypeError(expected("client", rule, client));
}
