import { warn } from "../core/callbacks.js";
import { argumentError, memberOf, ownCopy } from "../core/validate.js";
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
import { isElsewhere } from "./errors.js";

/** A client as this package uses it. */
export interface Connection {
  /** Sends a command to whoever has its keys, of which `key` is one, and again only until `isLate`. */
  readonly send: (command: string[], key: string, isLate?: () => boolean) => Promise<unknown>;
  /** Each server that has keys of its own: the one there is, or the primaries of a cluster. */
  readonly primaries: () => Promise<readonly Send[]>;
  /** Whether the keys of one command must share a slot. */
  readonly isCluster: boolean;
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
  throw new TypeError(argumentError("client", rule, client));
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

/** How often valkey-glide is asked for one command at most. */
const MOST_TRIES = 3;

/** A cluster of ioredis or iovalkey. It finds the server of a command by itself. */
export function ioredisCluster(client: IoredisClusterLike, ownPrefix: string): Connection {
  warnOfAutoPipelining(client);
  const primaries = (): Send[] =>
    client.nodes("master").map(
      (node): Send =>
        ([command = "", ...words]) =>
          node.call(command, ...words),
    );
  return {
    send: ([command = "", ...words]) => client.call(command, ...words),
    primaries: async () => {
      const owners = ownersIn(await client.call("CLUSTER", "SLOTS"));
      if (primaries().length < owners.length) {
        await new Promise<void>((resolve, reject) => {
          client.refreshSlotsCache((error) => (error instanceof Error ? reject(error) : resolve()));
        });
      }
      return allOf(primaries(), owners);
    },
    isCluster: true,
    ownPrefix,
  };
}

/** A cluster of node-redis. It is told the key by which to find the server of a command. */
export function nodeRedisCluster(client: NodeRedisClusterLike): Connection {
  return {
    send: (command, key) => client.sendCommand(key, false, command),
    primaries: async () => {
      const owners = ownersIn(await client.sendCommand(undefined, true, ["CLUSTER", "SLOTS"]));
      const primaries = client.masters.map((node): Send => async (command) => {
        const server = (await client.nodeClient(node as never)) as NodeRedisLike;
        return server.sendCommand(command);
      });
      return allOf(primaries, owners);
    },
    isCluster: true,
    ownPrefix: "",
  };
}

/** A cluster of valkey-glide. */
export function glideCluster(client: GlideLike): Connection {
  return {
    send: async (command, _key, isLate = () => false) => {
      // While a slot moves, glide gives up between two servers of which each names the other. Nothing has run by then.
      for (let tries = 1; ; tries += 1) {
        try {
          return await client.customCommand(command);
        } catch (error) {
          if (tries === MOST_TRIES || isLate() || !isElsewhere(error)) throw error;
        }
      }
    },
    primaries: async () => {
      const owners = ownersIn(await client.customCommand(["CLUSTER", "SLOTS"], { route: "randomNode" } as never));
      // By address, which is where glide connects to: it sends commands that have no key to slot 0, whatever slot they name.
      const primaries = owners.map(([host, port]): Send => {
        const route = { type: "routeByAddress", host, port };
        return (command) => client.customCommand(command, { route } as never);
      });
      return allOf(primaries, owners);
    },
    isCluster: true,
    ownPrefix: "",
  };
}

type Owner = readonly [host: string, port: number];

/** The servers that have slots, by what `CLUSTER SLOTS` replied. */
function ownersIn(reply: unknown): Owner[] {
  const ranges = reply as [first: unknown, last: unknown, primary: [host: unknown, port: unknown]][];
  const owners = ranges.map(([, , [host, port]]): Owner => [String(host), Number(port)]);
  return [...new Map(owners.map((owner) => [owner.join(), owner])).values()];
}

/**
 * The primaries that a client knows, unless they are fewer than have slots: one is gone, or new, and what it keeps would not be
 * found. By their number, because a client may know them by other addresses than they each other.
 */
function allOf(primaries: readonly Send[], owners: readonly Owner[]): readonly Send[] {
  if (owners.length > 0 && primaries.length >= owners.length) return primaries;
  throw new Error(`The client knows ${primaries.length} of ${owners.length} primaries of its Redis Cluster`);
}

/** Old versions put commands together by their first word, which is the script's, and send them where no key of theirs is. */
function warnOfAutoPipelining({ options }: IoredisClusterLike): void {
  const { enableAutoPipelining, autoPipeliningIgnoredCommands = [] } = ownCopy(options ?? {});
  if (enableAutoPipelining !== true || autoPipeliningIgnoredCommands.includes("EVALSHA")) return;
  const remedy = 'add autoPipeliningIgnoredCommands: ["EVALSHA", "EVAL", "UNLINK"]';
  warn("A Redis Cluster with enableAutoPipelining may send scripts to the wrong server", remedy);
}
