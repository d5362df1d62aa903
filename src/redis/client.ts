/** Sends one command, its words in order, and resolves with what Redis replied. */
export type Send = (command: string[]) => Promise<unknown>;

/** A client of `ioredis` or `iovalkey`, through a sentinel or not: `call` and `defineCommand` are what tells it. */
export interface IoredisLike {
  call(command: string, ...words: string[]): Promise<unknown>;
  defineCommand(name: string, definition: never): unknown;
  readonly options?:
    | {
        readonly keyPrefix?: string | undefined;
        readonly enableAutoPipelining?: boolean | undefined;
        readonly autoPipeliningIgnoredCommands?: readonly string[] | undefined;
      }
    | undefined;
}

/** A cluster of `ioredis` or `iovalkey`: a client of theirs whose `isCluster` is true. */
export interface IoredisClusterLike extends IoredisLike {
  readonly isCluster: boolean;
  nodes(role: "master"): readonly Pick<IoredisLike, "call">[];
  refreshSlotsCache(done: (error?: unknown) => void): void;
}

/** A client or a pool of `redis` (node-redis): `sendCommand` and `evalSha` are what tells it. */
export interface NodeRedisLike {
  sendCommand(command: string[]): Promise<unknown>;
  evalSha(...given: never): unknown;
}

/** A sentinel of node-redis, told by `getMasterNode`. */
export interface NodeRedisSentinelLike {
  sendCommand(isReadonly: boolean, command: string[]): Promise<unknown>;
  getMasterNode(): unknown;
}

/** A cluster of node-redis, told by `getSlotMaster`. */
export interface NodeRedisClusterLike {
  sendCommand(firstKey: string | undefined, isReadonly: boolean, command: string[]): Promise<unknown>;
  getSlotMaster(slot: number): unknown;
  readonly masters: readonly unknown[];
  nodeClient(node: never): unknown;
}

/** A client of `@valkey/valkey-glide`: `customCommand` is what tells it, and `fcallWithRoute` that it is one of a cluster. */
export interface GlideLike {
  customCommand(command: string[], options?: never): Promise<unknown>;
}

/** A client of `@upstash/redis`, which speaks HTTP: `evalsha` and `createScript` are what tells it. */
export interface UpstashLike {
  evalsha(sha1: string, keys: string[], words: string[]): Promise<unknown>;
  eval(script: string, keys: string[], words: string[]): Promise<unknown>;
  scan(cursor: string, options: { match: string; count: number }): Promise<unknown>;
  unlink(...keys: string[]): Promise<unknown>;
  createScript(script: string): unknown;
}

/** Bun's `RedisClient`: `send` and `getBuffer` are what tells it. */
export interface BunRedisLike {
  send(command: string, words: string[]): Promise<unknown>;
  getBuffer(key: string): unknown;
}

/** Who talks to Redis, or to Valkey: a client of one of these, or a function that sends a command by any other. */
export type RedisClient =
  | IoredisLike
  | IoredisClusterLike
  | NodeRedisLike
  | NodeRedisSentinelLike
  | NodeRedisClusterLike
  | GlideLike
  | UpstashLike
  | BunRedisLike
  | Send;
