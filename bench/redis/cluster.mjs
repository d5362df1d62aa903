// The cost of a check on a cluster of three primaries, and the savings of checking two keys with one script, compared with a plain
// fixed-window script on the same cluster, in turns. The last part of `npm run bench:redis`.
import { Cluster } from "ioredis";
import { allOf, AsyncRateLimiter } from "sluicegate";
import { hashTagged, RedisStore } from "sluicegate/redis";
import { FIXED_WINDOW, median, needRedis, sleep, startRedis } from "./redis.mjs";

needRedis();
const ROUNDS = 7;
const CALLS = 20_000;
const KEYS = 500;

const servers = await startCluster();
const cluster = new Cluster(servers.map(({ port }) => ({ host: "127.0.0.1", port })));
cluster.defineCommand("fixedWindow", { numberOfKeys: 1, lua: FIXED_WINDOW });

const store = new RedisStore({ client: cluster, timeout: "10s", whenDown: "deny", denyCache: false });
const limiter = (name) => new AsyncRateLimiter({ maxCalls: 100, period: "10s", name, store });
const one = limiter("one");
const both = allOf({ ip: limiter("ip"), user: limiter("user") });

const WAYS = {
  "fixed-window script": (key) => cluster.fixedWindow(key, 10_000, 100),
  isAllowed: (key) => one.isAllowed(key),
  check: (key) => one.check(key),
  "allOf two, one hash tag": (key) => both.check({ ip: hashTagged(key, "ip"), user: hashTagged(key, "user") }),
  "allOf two, in order": (key) => both.check({ ip: `ip-${key}`, user: `user-${key}` }),
};

async function startCluster() {
  const servers = [];
  const slots = Array.from({ length: 16_384 }, (_, slot) => slot);
  for (let at = 0; at < 3; at += 1) {
    const server = await startRedis("cluster");
    const mine = slots.filter((slot) => slot % 3 === at);
    await server.send("CLUSTER", "ADDSLOTS", ...mine);
    await server.send("CLUSTER", "SET-CONFIG-EPOCH", at + 1);
    servers.push(server);
  }
  const [first, ...others] = servers;
  for (const server of others) await server.send("CLUSTER", "MEET", "127.0.0.1", first.port, first.bus);
  const isWhole = async (server) => /cluster_state:ok[^]*known_nodes:3/.test(await server.send("CLUSTER", "INFO"));
  for (const server of servers) while (!(await isWhole(server))) await sleep(50);
  return servers;
}

async function rateOf(check) {
  const start = performance.now();
  let called = 0;
  const caller = async () => {
    while (called < CALLS) await check(`key-${((called += 1) * 7919) % KEYS}`);
  };
  await Promise.all(Array.from({ length: 64 }, caller));
  return (1000 * CALLS) / (performance.now() - start);
}

const rates = Object.keys(WAYS).map(() => []);
for (let round = -1; round < ROUNDS; round += 1) {
  for (let turn = 0; turn < rates.length; turn += 1) {
    const at = (turn + Math.max(0, round)) % rates.length;
    const rate = await rateOf(Object.values(WAYS)[at]);
    if (round >= 0) rates[at].push(rate);
  }
}
console.log(`\n${"three primaries, 64 in flight".padEnd(32)}calls/s   of the script's rate`);
for (const [at, way] of Object.keys(WAYS).entries()) {
  const ratios = rates[at].map((rate, round) => rate / rates[0][round]);
  const [least, most] = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
  console.log(
    way.padEnd(30),
    median(rates[at]).toFixed(0).padStart(8),
    `   ${median(ratios).toFixed(2)} (${least}..${most})`,
  );
}
cluster.disconnect();
for (const server of servers) await server.kill();
