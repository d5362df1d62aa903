// What one check costs the primary, the process and the network: the figures of `measured` in docs/guide/how-far-it-scales.md.
// `npm run bench:scale`. "alone" is 64 connections with one call under way each; "together" is one connection with 64.
import { Redis } from "ioredis";
import { RedisRateLimiter } from "sluicegate/redis";
import { cpuOf, median, needRedis, sleep, startRedis } from "./redis.mjs";

needRedis();
const ROUNDS = 5;
const CALLS = 20_000;
/** Logs are short if many keys share the checks: here up to five calls. */
const KEYS = 4000;
/** For the memory of a key. */
const KEPT = 60_000;

const redis = await startRedis();
const admin = new Redis(redis.port, "127.0.0.1");
const clients = Array.from({ length: 64 }, () => new Redis(redis.port, "127.0.0.1"));
let made = 0;
const limiterOf = (client, keyPrefix) =>
  new RedisRateLimiter({ maxCalls: 100, period: "1h", client, keyPrefix, timeout: "10s", whenDown: "deny" });

const numberIn = (info, name) => Number(new RegExp(`${name}[:=]([\\d.]+)`).exec(info)?.[1] ?? 0);
async function counters() {
  const [stats, commands, replication] = [
    await admin.info("stats"),
    await admin.info("commandstats"),
    await admin.info("replication"),
  ];
  const { user, system } = process.cpuUsage();
  return {
    serverUs: await cpuOf(admin),
    scriptUs: numberIn(commands, "cmdstat_evalsha:calls=\\d+,usec"),
    runs: numberIn(commands, "cmdstat_evalsha:calls"),
    processUs: user + system,
    bytesIn: numberIn(stats, "total_net_input_bytes"),
    bytesOut: numberIn(stats, "total_net_output_bytes"),
    replicated: numberIn(replication, "master_repl_offset"),
  };
}

/** The cost of one check. */
async function costOf(limiters) {
  await Promise.all(limiters.map((limiter) => limiter.isAllowed("first")));
  const before = await counters();
  let called = 0;
  const caller = async (_, at) => {
    while (called < CALLS) await limiters[at % limiters.length].isAllowed(`user:${((called += 1) * 7919) % KEYS}`);
  };
  await Promise.all(Array.from({ length: 64 }, caller));
  const after = await counters();
  return Object.fromEntries(Object.keys(before).map((name) => [name, (after[name] - before[name]) / CALLS]));
}

const WAYS = {
  alone: () => clients.map((client) => limiterOf(client, `p${made}`)),
  together: () => [limiterOf(clients[0], `p${made}`)],
};
const costs = { alone: [], together: [] };
for (let round = -1; round < ROUNDS; round += 1) {
  for (const [name, limiters] of Object.entries(WAYS)) {
    made += 1;
    const open = limiters();
    const cost = await costOf(open);
    for (const limiter of open) limiter.close();
    if (round >= 0) costs[name].push(cost);
  }
}
const rounded = (value) => Number(value.toPrecision(2));
const medians = Object.entries(costs).map(([name, rounds]) => {
  const counters = Object.keys(rounds[0]).filter((counter) => counter !== "replicated");
  const cost = Object.fromEntries(counters.map((counter) => [counter, median(rounds.map((of) => of[counter]))]));
  console.log(name, Object.fromEntries(counters.map((counter) => [counter, Number(cost[counter].toPrecision(3))])));
  return cost;
});
// A run of n checks costs `perRun + n * perCheck`.
const [alone, together] = medians;
for (const counter of ["serverUs", "processUs", "bytesIn", "bytesOut"]) {
  const perRun = (alone[counter] - together[counter]) / (1 - together.runs);
  console.log(counter, { perCheck: rounded(alone[counter] - perRun), perRun: rounded(perRun) });
}

// Redis counts what it would replicate only if it has a replica.
const replica = await startRedis();
await replica.send("REPLICAOF", "127.0.0.1", redis.port);
while (!/state=online/.test(await admin.info("replication"))) await sleep(50);
made += 1;
const { replicated } = await costOf(WAYS.together());
await replica.kill();

await admin.flushall();
const memory = async () => numberIn(await admin.info("memory"), "used_memory");
const empty = await memory();
const limiter = limiterOf(clients[0], "memory");
const keyBytes = {};
for (const [cost, calls] of [
  [1, 1],
  [9, 10],
  [90, 100],
]) {
  for (let from = 0; from < KEPT; from += 1000) {
    await Promise.all(Array.from({ length: 1000 }, (_, at) => limiter.isAllowed(`user:${from + at}`, { cost })));
  }
  keyBytes[calls] = Math.round(((await memory()) - empty) / KEPT);
}
console.log({ replicatedBytes: Math.round(replicated), keyBytes });
for (const client of [admin, ...clients]) client.disconnect();
await redis.kill();
