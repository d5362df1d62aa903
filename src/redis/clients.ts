import { warn } from "../core/callbacks.js";
import { typeError, memberOf, ownCopy } from "../core/validate.js";
import { isRedirect } from "./reply.js";

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

/** Bun's `RedisClient`: recognised by `send` and `getBuffer`. */
export interface BunRedisLike {
  send(command: string, args: string[]): Promise<unknown>;
  getBuffer(key: string): unknown;
}

/** A client of Redis or Valkey: of one of these packages, or a function that sends a command by any other client. */
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

/** A client as this package uses it. */
export interface Connection {
  /** Sends a command to the server of its keys, of which `key` is one. Retries only while `isLate` returns false. */
  readonly send: (command: string[], key: string, isLate?: () => boolean) => Promise<unknown>;
  /** The single server, or all primaries of a cluster. */
  readonly primaries: () => Promise<readonly Send[]>;
  /** Whether the keys of one command must share a slot. */
  readonly isCluster: boolean;
  /** The prefix that the client adds to every key of a command, but does not remove from keys in replies. */
  readonly ownPrefix: string;
}

/**
 * Recognises a client by its methods, and never by the name of its constructor, which differs between versions.
 *
 * @throws TypeError for an object that is not a client.
 */
export function connectionOf(client: unknown): Connection {
  if (typeof client === "function" && !isClass(client)) return single(client as Send);
  const shape = typeof client === "object" ? client : undefined;
  const can = (...names: readonly string[]): boolean =>
    names.every((name) => typeof memberOf(shape, name) === "function");

  if (can("call", "defineCommand")) {
    const keyPrefix = (memberOf((client as IoredisLike).options, "keyPrefix") as string | undefined) ?? "";
    if (memberOf(client, "isCluster") === true) return ioredisCluster(client as IoredisClusterLike, keyPrefix);
    return single(byCall(client as IoredisLike), keyPrefix);
  }
  if (can("sendCommand", "getSlotMaster", "nodeClient")) return nodeRedisCluster(client as NodeRedisClusterLike);
  if (can("sendCommand", "getMasterNode")) {
    return single((command) => (client as NodeRedisSentinelLike).sendCommand(false, command));
  }
  if (can("sendCommand", "evalSha")) return single((command) => (client as NodeRedisLike).sendCommand(command));
  if (can("customCommand", "fcallWithRoute")) return glideCluster(client as GlideLike);
  if (can("customCommand")) return single((command) => (client as GlideLike).customCommand(command));
  if (can("evalsha", "createScript")) return single(upstash(client as UpstashLike));
  if (can("send", "getBuffer")) {
    return single(([command = "", ...args]) => (client as BunRedisLike).send(command, args));
  }
  const rule =
    "a client of ioredis, iovalkey, redis, @valkey/valkey-glide, @upstash/redis or Bun, " +
    "or a function that sends a command: `(command: string[]) => Promise`";
  throw typeError("client", rule, client);
}

/** Whether a class was passed in place of a client. */
function isClass(client: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(client));
}

/** A client of one server, or of a proxy or sentinel that finds the server. */
function single(send: Send, ownPrefix = ""): Connection {
  return { send, primaries: async () => [send], isCluster: false, ownPrefix };
}

/** Upstash has a method for each command, and none for an arbitrary command. */
function upstash(client: UpstashLike): Send {
  return async ([command, first = "", ...args]) => {
    switch (command) {
      case "EVALSHA":
      case "EVAL": {
        const keys = Number(args[0]) + 1;
        const run = command === "EVAL" ? "eval" : "evalsha";
        return client[run](first, args.slice(1, keys), args.slice(keys));
      }
      case "SCAN": {
        const [, match = "", , count] = args;
        return client.scan(first, { match, count: Number(count) });
      }
      case "UNLINK":
        return client.unlink(first, ...args);
      default:
        throw new Error(`${String(command)} is not sent to Upstash`);
    }
  };
}

/** The most attempts for one command of valkey-glide. */
const MOST_TRIES = 10;

/** Sends by the method `call` of a client of ioredis or iovalkey, or of one node of its cluster. */
function byCall(client: Pick<IoredisLike, "call">): Send {
  return ([command = "", ...args]) => client.call(command, ...args);
}

/** A cluster of ioredis or iovalkey, which finds the server of a command itself. */
function ioredisCluster(client: IoredisClusterLike, ownPrefix: string): Connection {
  warnAboutAutoPipelining(client);
  const primaries = (): Send[] => client.nodes("master").map(byCall);
  return {
    send: byCall(client),
    primaries: async () => {
      const owners = ownersIn(await client.call("CLUSTER", "SLOTS"));
      if (primaries().length < owners.length) {
        await new Promise<void>((resolve, reject) => {
          client.refreshSlotsCache((error) => (error instanceof Error ? reject(error) : resolve()));
        });
      }
      return assertComplete(primaries(), owners);
    },
    isCluster: true,
    ownPrefix,
  };
}

/** A cluster of node-redis, which takes the key that determines the server of a command. */
function nodeRedisCluster(client: NodeRedisClusterLike): Connection {
  return {
    send: (command, key) => client.sendCommand(key, false, command),
    primaries: async () => {
      const owners = ownersIn(await client.sendCommand(undefined, true, ["CLUSTER", "SLOTS"]));
      const primaries = client.masters.map((node): Send => async (command) => {
        const server = (await client.nodeClient(node as never)) as NodeRedisLike;
        return server.sendCommand(command);
      });
      return assertComplete(primaries, owners);
    },
    isCluster: true,
    ownPrefix: "",
  };
}

/** A cluster of valkey-glide. */
function glideCluster(client: GlideLike): Connection {
  return {
    send: async (command, _key, isLate = () => false) => {
      // While a slot moves, two servers may redirect to each other, and glide gives up. Nothing has run.
      for (let tries = 1; ; tries += 1) {
        try {
          return await client.customCommand(command);
        } catch (error) {
          if (tries === MOST_TRIES || isLate() || !isRedirect(error)) throw error;
        }
      }
    },
    primaries: async () => {
      const owners = ownersIn(await client.customCommand(["CLUSTER", "SLOTS"], { route: "randomNode" } as never));
      // Routed by address: glide sends commands without a key to slot 0, whatever slot the route names.
      const primaries = owners.map(([host, port]): Send => {
        const route = { type: "routeByAddress", host, port };
        return (command) => client.customCommand(command, { route } as never);
      });
      return assertComplete(primaries, owners);
    },
    isCluster: true,
    ownPrefix: "",
  };
}

type Owner = readonly [host: string, port: number];

/** The servers that own slots, from the reply to `CLUSTER SLOTS`. */
function ownersIn(reply: unknown): Owner[] {
  const ranges = reply as [first: unknown, last: unknown, primary: [host: unknown, port: unknown]][];
  const owners = ranges.map(([, , [host, port]]): Owner => [String(host), Number(port)]);
  return [...new Map(owners.map((owner) => [owner.join(), owner])).values()];
}

/**
 * Fails if the client knows fewer primaries than own slots: a scan would miss keys. Compares counts, and not addresses, because
 * the client may reach the servers under other addresses.
 */
function assertComplete(primaries: readonly Send[], owners: readonly Owner[]): readonly Send[] {
  if (owners.length > 0 && primaries.length >= owners.length) return primaries;
  throw new Error(`The client knows ${primaries.length} of ${owners.length} primaries of its Redis Cluster`);
}

/** Old versions group commands by their first argument, which is the hash of the script, and send them to a wrong server. */
function warnAboutAutoPipelining({ options }: IoredisClusterLike): void {
  const { enableAutoPipelining, autoPipeliningIgnoredCommands = [] } = ownCopy(options ?? {});
  if (enableAutoPipelining !== true || autoPipeliningIgnoredCommands.includes("EVALSHA")) return;
  const remedy = 'add autoPipeliningIgnoredCommands: ["EVALSHA", "EVAL", "UNLINK"]';
  warn(
    "SLUICEGATE_AUTO_PIPELINING",
    "A Redis Cluster with enableAutoPipelining may send scripts to the wrong server",
    remedy,
  );
}
