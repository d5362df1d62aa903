import type { GlideLike, IoredisClusterLike, NodeRedisClusterLike, NodeRedisLike, Send } from "./client.js";
import type { Connection } from "./connection.js";
import { isMoved } from "./server-error.js";

/** How often valkey-glide is asked for one command at most. */
const MOST_TRIES = 3;

/** A cluster of ioredis or iovalkey. It finds the server of a command by itself. */
export function ioredisCluster(client: IoredisClusterLike, ownPrefix: string): Connection {
  return {
    send: ([command = "", ...words]) => client.call(command, ...words),
    primaries: async () =>
      client.nodes("master").map(
        (node): Send =>
          ([command = "", ...words]) =>
            node.call(command, ...words),
      ),
    isCluster: true,
    ownPrefix,
  };
}

/** A cluster of node-redis. It is told the key by which to find the server of a command. */
export function nodeRedisCluster(client: NodeRedisClusterLike): Connection {
  return {
    send: (command, key) => client.sendCommand(key, false, command),
    primaries: async () =>
      client.masters.map((node): Send => async (command) => {
        const server = (await client.nodeClient(node as never)) as NodeRedisLike;
        return server.sendCommand(command);
      }),
    isCluster: true,
    ownPrefix: "",
  };
}

/** A cluster of valkey-glide. */
export function glideCluster(client: GlideLike): Connection {
  return {
    send: async (command) => {
      // While a slot moves, glide gives up between two servers of which each names the other. Nothing has run by then.
      for (let tries = 1; ; tries += 1) {
        try {
          return await client.customCommand(command);
        } catch (error) {
          if (tries === MOST_TRIES || !isMoved(error)) throw error;
        }
      }
    },
    primaries: async () => {
      const ranges = await client.customCommand(["CLUSTER", "SLOTS"], { route: "randomNode" } as never);
      const primaries = (ranges as [first: unknown, last: unknown, primary: [host: unknown, port: unknown]][]).map(
        ([, , [host, port]]) => ({ type: "routeByAddress", host: String(host), port: Number(port) }),
      );
      // By address, which is where glide connects to: it sends commands that have no key to slot 0, whatever slot they name.
      const routes = new Map(primaries.map((route) => [`${route.host} ${route.port}`, route]));
      return [...routes.values()].map(
        (route): Send =>
          (command) =>
            client.customCommand(command, { route } as never),
      );
    },
    isCluster: true,
    ownPrefix: "",
  };
}
