import { expected, memberOf } from "../core/expected.js";
import type {
  BunRedisLike,
  GlideLike,
  IoredisClusterLike,
  IoredisLike,
  NodeRedisClusterLike,
  NodeRedisLike,
  NodeRedisSentinelLike,
  Send,
  UpstashLike,
} from "./client.js";
import { glideCluster, ioredisCluster, nodeRedisCluster } from "./cluster-connection.js";
import type { Connection } from "./connection.js";

/**
 * Finds out how to talk through a client. By what it can do, and never by the name of its constructor, which is another in
 * every version.
 *
 * @throws TypeError for an object that is no client.
 */
export function connectionOf(client: unknown): Connection {
  if (typeof client === "function" && !isClass(client)) return single(client as Send);
  const shape = typeof client === "object" ? client : undefined;
  const can = (...names: readonly string[]): boolean =>
    names.every((name) => typeof memberOf(shape, name) === "function");

  if (can("call", "defineCommand")) {
    const keyPrefix = (memberOf((client as IoredisLike).options, "keyPrefix") as string | undefined) ?? "";
    if (memberOf(client, "isCluster") === true) return ioredisCluster(client as IoredisClusterLike, keyPrefix);
    return single(([command = "", ...words]) => (client as IoredisLike).call(command, ...words), keyPrefix);
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
    return single(([command = "", ...words]) => (client as BunRedisLike).send(command, words));
  }
  const rule =
    "a client of ioredis, iovalkey, redis, @valkey/valkey-glide, @upstash/redis or Bun, " +
    "or a function that sends a command: `(command: string[]) => Promise`";
  throw new TypeError(expected("client", rule, client));
}

/** A class of clients in place of a client: nothing that it could be called with would send a command. */
function isClass(client: unknown): boolean {
  return /^class\b/.test(Function.prototype.toString.call(client));
}

/** One server, or one address behind which somebody else finds it. */
function single(send: Send, ownPrefix = ""): Connection {
  return { send, primaries: async () => [send], isCluster: false, ownPrefix };
}

/** It has a method for each command, and none for all. */
function upstash(client: UpstashLike): Send {
  return async ([command, first = "", ...words]) => {
    switch (command) {
      case "EVALSHA":
      case "EVAL": {
        const keys = Number(words[0]) + 1;
        const run = command === "EVAL" ? "eval" : "evalsha";
        return client[run](first, words.slice(1, keys), words.slice(keys));
      }
      case "SCAN": {
        const [, match = "", , count] = words;
        return client.scan(first, { match, count: Number(count) });
      }
      case "UNLINK":
        return client.unlink(first, ...words);
      default:
        throw new Error(`${String(command)} is not sent to Upstash`);
    }
  };
}
