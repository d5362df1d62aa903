import { MemoryStore } from "sluicegate";
import { RedisStore } from "sluicegate/redis";
import { afterAll, beforeAll, describe } from "vitest";
import { itIsAStore } from "../store-contract.js";
import type { Connected } from "../../support/redis/clients.js";
import { CLIENTS, CLUSTER_CLIENTS, SENTINEL_CLIENTS } from "../../support/redis/clients.js";
import { ClusterProcess } from "../../support/redis/cluster-process.js";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";
import { SentinelProcess } from "../../support/redis/sentinel-process.js";

describe("a MemoryStore", () => {
  itIsAStore({ store: () => new MemoryStore(), source: "memory", locks: true });
});

/** Keeps prefixes apart: clients share a server. */
let made = 0;

/** Lets every call of a store travel with other calls: two calls of another namespace precede each. */
function crowded(store: RedisStore): RedisStore {
  const limits = [{ maxCalls: 1, periodMs: 1000, name: undefined, reducedFrom: undefined }];
  const others = store.open("others", [1000]);
  const open = store.open.bind(store);
  const withOthers =
    <A extends unknown[], R>(method: (...args: A) => R) =>
    (...args: A): R => {
      for (const key of ["one", "another"]) void others.admit(key, limits, 1).catch(() => undefined);
      return method(...args);
    };
  store.open = (...args) => {
    const namespace = open(...args);
    return Object.assign(namespace, {
      admit: withOthers(namespace.admit.bind(namespace)),
      check: withOthers(namespace.check.bind(namespace)),
      peek: withOthers(namespace.peek.bind(namespace)),
      state: withOthers(namespace.state.bind(namespace)),
    });
  };
  return store;
}

/** Runs the suite in the surrounding `describe`, through the client that is there once `connect` has run. */
function itIsAStoreThrough(
  connect: () => Promise<Connected>,
  adapted = (store: RedisStore): RedisStore => store,
): void {
  let connected: Connected;
  beforeAll(async () => {
    connected = await connect();
  });
  afterAll(() => connected.close());
  itIsAStore({
    store: () =>
      adapted(
        new RedisStore({ client: connected.client, keyPrefix: `p${(made += 1)}`, timeout: "5s", whenDown: "deny" }),
      ),
    source: "redis",
    locks: true,
  });
}

describe.skipIf(withoutRedis !== undefined)("a RedisStore", () => {
  describe("of one server", () => {
    let redis: RedisProcess;
    beforeAll(async () => {
      redis = await RedisProcess.start();
    });
    afterAll(() => redis.kill());
    describe.each(Object.entries(CLIENTS))("through %s", (_, connect) => {
      itIsAStoreThrough(() => connect({ host: "127.0.0.1", port: redis.port }));
    });
    describe.each(["ioredis, RESP3", "node-redis, RESP3", "upstash, by its protocol"])(
      "through %s, beside other calls",
      (client) => {
        itIsAStoreThrough(() => CLIENTS[client]!({ host: "127.0.0.1", port: redis.port }), crowded);
      },
    );
  });

  describe("of three primaries", () => {
    let cluster: ClusterProcess;
    beforeAll(async () => {
      cluster = await ClusterProcess.start();
    });
    afterAll(() => cluster.kill());
    describe.each(Object.entries(CLUSTER_CLIENTS))("through %s", (_, connect) => {
      itIsAStoreThrough(() => connect(cluster.nodes));
    });
  });

  describe("of a primary and its replica", () => {
    let servers: SentinelProcess;
    beforeAll(async () => {
      servers = await SentinelProcess.start();
    });
    afterAll(() => servers.kill());
    describe.each(Object.entries(SENTINEL_CLIENTS))("through %s", (_, connect) => {
      itIsAStoreThrough(() =>
        connect({ sentinel: { host: "127.0.0.1", port: servers.sentinel.port }, group: SentinelProcess.group }),
      );
    });
  });
});
