// The cost of a check in Redis: throughput of one process with 1, 64 and 256 checks in flight, processor time of the server and of the
// process, and memory, compared with rate-limiter-flexible and a plain fixed-window script, in turns on one server:
// `npm run bench:redis`. `--short` runs less of it, for `npm run bench`.
import { Redis } from "ioredis";
import { createClient } from "redis";
import { RateLimiterRedis } from "rate-limiter-flexible";
import { LayeredRateLimiter } from "sluicegate";
import { RedisRateLimiter, RedisStore } from "sluicegate/redis";
import { cpuOf, FIXED_WINDOW, median, needRedis, startRedis } from "./redis.mjs";

needRedis();
const isShort = process.argv.includes("--short");
const ROUNDS = isShort ? 3 : 7;
const CALLS = isShort ? 6000 : 30_000;
const KEYS = 500;
/** What the others are compared with. */
const [FIXED, AUTO] = ["fixed-window script", "fixed, autopipelined"];

const redis = await startRedis();
const ioredis = new Redis(redis.port, "127.0.0.1");
// Sends the commands of one turn together.
const autopipelined = new Redis(redis.port, "127.0.0.1", { enableAutoPipelining: true });
const nodeRedis = createClient({ socket: { port: redis.port, host: "127.0.0.1" } });
await nodeRedis.connect();
const sha = await ioredis.script("LOAD", FIXED_WINDOW);

let made = 0;
const patient = (client) => ({
  client,
  keyPrefix: `p${(made += 1)}`,
  timeout: "10s",
  whenDown: "deny",
  denyCache: false,
});
const one = (client, maxCalls, period = "10s") => new RedisRateLimiter({ maxCalls, period, ...patient(client) });
const three = (client) =>
  new LayeredRateLimiter({
    limits: [
      { name: "Burst", maxCalls: 100, period: "10s" },
      { name: "Hourly", maxCalls: 1000, period: "1h" },
      { name: "Daily", maxCalls: 10_000, period: "1d" },
    ],
    store: new RedisStore(patient(client)),
  });
const flexible = (storeClient) => {
  const limiter = new RateLimiterRedis({
    storeClient,
    useRedisPackage: storeClient !== ioredis,
    points: 100,
    duration: 10,
    keyPrefix: `p${(made += 1)}`,
  });
  // It rejects to refuse.
  return (key) =>
    limiter.consume(key).catch((refusal) => {
      if (refusal instanceof Error) throw refusal;
    });
};

/** The compared calls of one client. The others are compared with the first, and with the second. */
function waysOf(client, fixed) {
  const [ten, hundred, deep, denied, layered] = [
    one(client, 10),
    one(client, 100),
    one(client, 10_000),
    one(client, 1, "1h"),
    three(client),
  ];
  const cached = new RedisRateLimiter({ maxCalls: 1, period: "1h", ...patient(client), denyCache: { maxAge: "1s" } });
  const useFlexible = flexible(client);
  return {
    [FIXED]: (key) => fixed(`fixed:${key}`),
    [AUTO]: (key) => autopipelined.evalsha(sha, 1, `auto:${key}`, 10_000, 100),
    "rate-limiter-flexible": useFlexible,
    "isAllowed, 10 in 10 s": (key) => ten.isAllowed(key),
    "isAllowed, 100 in 10 s": (key) => hundred.isAllowed(key),
    "check, 100 in 10 s": (key) => hundred.check(key),
    "check, 10,000 in 10 s": (key) => deep.check(key),
    "isAllowed, three layers": (key) => layered.isAllowed(key),
    "check, three layers": (key) => layered.check(key),
    "isAllowed, refused": (key) => denied.isAllowed(key),
    "the same, deny cache": (key) => cached.isAllowed(key),
  };
}

async function measure(check, inFlight) {
  const calls = inFlight === 1 ? CALLS / 5 : CALLS;
  const before = await cpuOf(ioredis);
  const own = process.cpuUsage();
  const start = performance.now();
  let called = 0;
  await Promise.all(
    Array.from({ length: inFlight }, async () => {
      while (called < calls) await check(`key-${((called += 1) * 7919) % KEYS}`);
    }),
  );
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(own);
  const serverUs = ((await cpuOf(ioredis)) - before) / calls;
  return { rate: (1000 * calls) / ms, serverUs, processUs: (user + system) / calls };
}

const spread = (ratios) =>
  `${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)})`;

/** With 1 and 256 checks in flight, the rest tells nothing new. */
const ALWAYS = /^fixed|flexible|100 in|three layers$/;

for (const [client, ways] of Object.entries({
  ioredis: waysOf(ioredis, (key) => ioredis.evalsha(sha, 1, key, 10_000, 100)),
  "node-redis": waysOf(nodeRedis, (key) => nodeRedis.evalSha(sha, { keys: [key], arguments: ["10000", "100"] })),
})) {
  for (const inFlight of [64, 1, 256]) {
    const names = Object.keys(ways).filter((way) => inFlight === 64 || ALWAYS.test(way));
    const runs = Object.fromEntries(names.map((way) => [way, []]));
    for (let round = -1; round < ROUNDS; round += 1) {
      // The order rotates, and the first round is a warm-up.
      for (let turn = 0; turn < names.length; turn += 1) {
        const way = names[(turn + Math.max(0, round)) % names.length];
        const run = await measure(ways[way], inFlight);
        if (round >= 0) runs[way].push(run);
      }
    }
    const relative = (way, to) => spread(runs[way].map(({ rate }, round) => rate / runs[to][round].rate));
    const us = (way, field) => `${median(runs[way].map((run) => run[field])).toFixed(1)} us`.padStart(9);
    console.log(
      `\n${`${client}, ${inFlight} in flight`.padEnd(26)}   calls/s   of the script's rate     of the autopipelined rate   server   process`,
    );
    for (const way of names) {
      console.log(
        way.padEnd(26),
        median(runs[way].map(({ rate }) => rate))
          .toFixed(0)
          .padStart(9),
        "  ",
        relative(way, FIXED).padEnd(22),
        relative(way, AUTO).padEnd(22),
        us(way, "serverUs"),
        us(way, "processUs"),
      );
    }
  }
}

/** Microseconds of the script per call since the previous `scriptUs()`. */
let previous = [0, 0];
async function scriptUs() {
  const [calls, us] = /cmdstat_evalsha:calls=(\d+),usec=(\d+)/
    .exec(await ioredis.info("commandstats"))
    .slice(1)
    .map(Number);
  const average = (us - previous[1]) / (calls - previous[0]);
  previous = [calls, us];
  return average;
}

console.log(
  "\ncalls recorded      bytes for each: sluicegate, list, sorted set      script: isAllowed, check, refused",
);
for (const depth of isShort ? [10, 1000] : [10, 100, 1000, 10_000]) {
  const full = one(ioredis, depth, "1h");
  const fullKey = `p${made}:default:full`;
  for (let calls = 0; calls < depth; calls += 10) await full.check("full", { cost: 10 });
  const stamps = Array.from({ length: depth }, (_, at) => String(Date.now() + at));
  await ioredis.rpush(`list:${depth}`, ...stamps);
  await ioredis.zadd(
    `set:${depth}`,
    ...stamps.flatMap((at) => [at, `${at}-${Math.random().toString(36).slice(2, 10)}`]),
  );
  const bytes = async (key) => ((await ioredis.memory("USAGE", key, "SAMPLES", 0)) / depth).toFixed(1).padStart(6);
  const sizes = [await bytes(fullKey), await bytes(`list:${depth}`), await bytes(`set:${depth}`)];

  // The same depth, below the limit.
  const roomy = one(ioredis, 2 * depth + 4000, "1h");
  for (let calls = 0; calls < depth; calls += 10) await roomy.check("key", { cost: 10 });
  const times = [];
  for (const check of [() => roomy.isAllowed("key"), () => roomy.check("key"), () => full.isAllowed("full")]) {
    await scriptUs();
    for (let calls = 0; calls < Math.min(2000, 5 * depth); calls += 1) await check();
    times.push(`${(await scriptUs()).toFixed(1)} us`.padStart(8));
  }
  console.log(String(depth).padEnd(38), sizes.join(" "), " ".repeat(20), times.join(" "));
}
ioredis.disconnect();
autopipelined.disconnect();
nodeRedis.destroy();
await redis.kill();
