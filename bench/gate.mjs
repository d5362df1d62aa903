// What must not get slower or larger: `npm run bench:gate`. Ratios within one run, and counts of bytes, so that it says the
// same on any machine. A ratio is of the shortest runs of either side, taken in turns: noise only makes a run longer.
import process from "node:process";
import { MOST as DESIGNED, sizes } from "./size.mjs";
import { table } from "./stats.mjs";
import { keptBytes } from "./weight.mjs";

/** The most that each may be. What is measured beside it, and what it takes to trip it, is in the commits that set them. */
const MOST = {
  "1 key: times the floor": 1.55,
  "10k keys: times the floor": 1.7,
  "10k keys: times express-rate-limit": 1.5,
  "10k keys: times @fastify/rate-limit": 1.15,
  "10,000 deep: times 10 deep": 1.2,
  "three layers: times one": 1.3,
  "bytes that a call leaves behind": 0,
  "bytes of a key with one call": 128,
  "gzip of AsyncRateLimiter alone": 10_200,
  "gzip of .": 13_900,
};

// Limiters read it when they are made.
process.env.NODE_ENV = "production";
const { AsyncRateLimiter, LayeredRateLimiter, MemoryStore } = await import("sluicegate");
const { PEERS } = await import("./memory/peers.mjs");
const { keysOf } = await import("./memory/shapes.mjs");
const ROUNDS = 250;
const CALLS = 20_000;
const HOUR = 3_600_000;
/** Ends the rounds of what is slower than anything here should be. */
const LONGEST_MS = 6000;

/** The shortest runs of several limiters in turns, in nanoseconds of a call. */
async function shortest(limiters, keys) {
  const loops = await Promise.all(
    limiters.map(({ name }) => import(`./memory/loop.mjs?gate-${name.replaceAll(/\W/g, "-")}`)),
  );
  const least = limiters.map(() => Infinity);
  const startedAt = performance.now();
  for (let round = 0; round < ROUNDS && (round < 2 || performance.now() - startedAt < LONGEST_MS); round += 1) {
    for (let turn = 0; turn < limiters.length; turn += 1) {
      const at = (round + turn) % limiters.length;
      const start = performance.now();
      const allowed = await loops[at].awaited(limiters[at], keys, 0, CALLS);
      const ns = ((performance.now() - start) * 1e6) / CALLS;
      if (allowed < 0.9 * CALLS) throw new Error(`${limiters[at].name}: ${allowed} of ${CALLS} were allowed`);
      least[at] = Math.min(least[at], ns);
    }
  }
  return least;
}

/** By a clock that moves on with every call, a log stays full, and lets every call through. */
function full(name, depths) {
  let now = 0;
  const store = new MemoryStore({ clock: { now: () => (now += 1) } });
  const limits = depths.map((maxCalls) => ({ name: `${maxCalls}`, maxCalls, period: `${maxCalls}ms` }));
  const [{ maxCalls, period }] = limits;
  const limiter =
    limits.length === 1 ? new AsyncRateLimiter({ maxCalls, period, store }) : new LayeredRateLimiter({ limits, store });
  return { name, ask: (key) => limiter.isAllowed(key), admits: (allowed) => allowed };
}

async function opened(name, keys) {
  const limits = [keys.length === 1 ? { maxCalls: 50_000, periodMs: 1 } : { maxCalls: 100_000, periodMs: HOUR }];
  return { name, ...(await PEERS[name].load())({ limits, keys, maxKeys: 100_000 }) };
}

async function timesTheFloor(count, peers) {
  const keys = keysOf(count);
  const limiters = await Promise.all(["sluicegate", "floor", ...peers].map((name) => opened(name, keys)));
  const [ours, ...theirs] = await shortest(limiters, keys);
  return theirs.map((ns) => ours / ns);
}

/** Bytes on the heap for each call, but for those of the floor: what is made is made to be collected. */
async function leftBehind() {
  const keys = keysOf(1);
  const [ours, floor] = [full("ten", [10]), await opened("floor", keys)];
  const least = [Infinity, Infinity];
  for (let round = 0; round < 200; round += 1) {
    for (const [at, { ask }] of [ours, floor].entries()) {
      const before = process.memoryUsage().heapUsed;
      for (let call = 0; call < 2000; call += 1) await ask(keys[0]);
      const bytes = (process.memoryUsage().heapUsed - before) / 2000;
      // Less than nothing: it was collected in between.
      if (bytes > 0) least[at] = Math.min(least[at], bytes);
    }
  }
  return least[0] - least[1];
}

async function bytesOfAKey() {
  const count = 2 ** 18;
  const before = await keptBytes();
  const limiter = (await PEERS.sluicegate.load())({ limits: [{ maxCalls: 100, periodMs: HOUR }], maxKeys: count });
  for (let key = 0; key < count; key += 1) await limiter.ask(`user:${key}`);
  return ((await keptBytes()) - before) / limiter.size();
}

const found = {};
[found["bytes of a key with one call"]] = [await bytesOfAKey()];
[found["1 key: times the floor"]] = await timesTheFloor(1, []);
const peers = ["express-rate-limit", "@fastify/rate-limit"];
const [floor, express, fastify] = await timesTheFloor(10_000, peers);
found["10k keys: times the floor"] = floor;
found["10k keys: times express-rate-limit"] = express;
found["10k keys: times @fastify/rate-limit"] = fastify;
const [ten, deep, three] = await shortest(
  [full("ten", [10]), full("deep", [10_000]), full("three", [10_000, 1000, 100])],
  keysOf(1),
);
found["10,000 deep: times 10 deep"] = deep / ten;
found["three layers: times one"] = three / deep;
found["bytes that a call leaves behind"] = await leftBehind();
for (const { name, gzip } of await sizes({ only: Object.keys(DESIGNED) })) found[`gzip of ${name}`] = gzip;

const isOver = ([name, most]) => !(found[name] <= most);
const digits = (value) => value.toFixed(value < 20 ? 2 : 0);
console.log(
  table(
    ["gate", "found", "at most", ""],
    Object.entries(MOST).map(([name, most]) => [
      name,
      digits(found[name]),
      String(most),
      isOver([name, most]) ? "TOO MUCH" : "",
    ]),
  ),
);
process.exit(Object.entries(MOST).some(isOver) ? 1 : 0);
