/** Sends one command with its arguments in order, and resolves with the reply of Redis. */
export type Send = (command: string[]) => Promise<unknown>;

/** A client of `ioredis` or `iovalkey`, through a sentinel or not: recognised by `call` and `defineCommand`. */
export interface IoredisLike {
  call(command: string, ...args: string[]): Promise<unknown>;
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

/** A client or a pool of `redis` (node-redis): recognised by `sendCommand` and `evalSha`. */
export interface NodeRedisLike {
  sendCommand(command: string[]): Promise<unknown>;
  evalSha(...given: never): unknown;
}

/** A sentinel of node-redis, recognised by `getMasterNode`. */
export interface NodeRedisSentinelLike {
  sendCommand(isReadonly: boolean, command: string[]): Promise<unknown>;
  getMasterNode(): unknown;
}

/** A cluster of node-redis, recognised by `getSlotMaster`. */
export interface NodeRedisClusterLike {
  sendCommand(firstKey: string | undefined, isReadonly: boolean, command: string[]): Promise<unknown>;
  getSlotMaster(slot: number): unknown;
  readonly masters: readonly unknown[];
  nodeClient(node: never): unknown;
}

/** A client of `@valkey/valkey-glide`: recognised by `customCommand`, and as a cluster by `fcallWithRoute`. */
export interface GlideLike {
  customCommand(command: string[], options?: never): Promise<unknown>;
}

/** A client of `@upstash/redis`, which uses HTTP: recognised by `evalsha` and `createScript`. */
export interface UpstashLike {
  evalsha(sha1: string, keys: string[], args: string[]): Promise<unknown>;
  eval(script: string, keys: string[], args: string[]): Promise<unknown>;
  scan(cursor: string, options: { match: string; count: number }): Promise<unknown>;
  unlink(...keys: string[]): Promise<unknown>;
  createScript(script: string): unknown;
}

/** Bun's `RedisClient`: `send` and `getBuffer` are what tells it. */
export interface BunRedisLike {
  send(command: string, args: string[]): Promise<unknown>;
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
