import { ownCopy } from "../core/expected.js";
import { warn } from "../core/warn.js";
import type { GlideLike, IoredisClusterLike, NodeRedisClusterLike, NodeRedisLike, Send } from "./client.js";
import type { Connection } from "./connection.js";
import { isElsewhere } from "./server-error.js";

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
