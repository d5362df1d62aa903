// Fails if the library has become slower or larger: `npm run bench:gate`. Compares ratios within one run, and bytes, so that the
// result depends little on the machine. A ratio compares the shortest runs of both sides, taken in turns: noise only makes a run longer.
import process from "node:process";
import { sizes, TARGETS } from "./size.mjs";
import { table } from "./stats.mjs";
import { keptBytes } from "./weight.mjs";

/** The upper limits. The commits that set them say what was measured, and which planted slowdowns they catch. */
const LIMITS = {
  "1 key: times the floor": 1.65,
  "10k keys: times the floor": 1.6,
  "10k keys: times express-rate-limit": 1.4,
  "10k keys: times @fastify/rate-limit": 1.1,
  "10,000 deep: times 10 deep": 1.2,
  "three layers: times one": 1.3,
  "bytes allocated per call": 40,
  "bytes per key with one call": 128,
  "gzip of AsyncRateLimiter alone": 14_380,
  "gzip of .": 18_960,
};

// Limiters read it in their constructors.
process.env.NODE_ENV = "production";
const { AsyncRateLimiter, LayeredRateLimiter, MemoryStore } = await import("sluicegate");
const { PEERS } = await import("./memory/peers.mjs");
const { keysOf } = await import("./memory/shapes.mjs");
const ROUNDS = 250;
const CALLS = 20_000;
const HOUR = 3_600_000;
/** Ends the rounds early if a limiter is unexpectedly slow. */
const LONGEST_MS = 6000;

/** The shortest run of each limiter, in nanoseconds per call. The limiters run in turns. */
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

/** A limiter whose log stays full and which allows every call, because its clock advances by 1 ms at each call. */
function full(name, depths) {
  let now = 0;
  const store = new MemoryStore({ clock: { now: () => (now += 1) } });
  const limits = depths.map((maxCalls) => ({ name: `${maxCalls}`, maxCalls, period: `${maxCalls}ms` }));
  const [{ maxCalls, period }] = limits;
  const limiter =
    limits.length === 1 ? new AsyncRateLimiter({ maxCalls, period, store }) : new LayeredRateLimiter({ limits, store });
  return { name, check: (key) => limiter.isAllowed(key), admits: (allowed) => allowed };
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

/** Heap bytes that a call allocates in addition to those of the floor. */
async function allocatedBytes() {
  const keys = keysOf(1);
  const [ours, floor] = [full("ten", [10]), await opened("floor", keys)];
  const least = [Infinity, Infinity];
  for (let round = 0; round < 200; round += 1) {
    for (const [at, { check }] of [ours, floor].entries()) {
      const before = process.memoryUsage().heapUsed;
      for (let call = 0; call < 2000; call += 1) await check(keys[0]);
      const bytes = (process.memoryUsage().heapUsed - before) / 2000;
      // A negative difference means that garbage was collected meanwhile.
      if (bytes > 0) least[at] = Math.min(least[at], bytes);
    }
  }
  return least[0] - least[1];
}

async function bytesPerKey() {
  const count = 2 ** 18;
  const before = await keptBytes();
  const limiter = (await PEERS.sluicegate.load())({ limits: [{ maxCalls: 100, periodMs: HOUR }], maxKeys: count });
  for (let key = 0; key < count; key += 1) await limiter.check(`user:${key}`);
  return ((await keptBytes()) - before) / limiter.size();
}

const found = {};
[found["bytes per key with one call"]] = [await bytesPerKey()];
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
found["bytes allocated per call"] = await allocatedBytes();
for (const { name, gzip } of await sizes({ only: Object.keys(TARGETS) })) found[`gzip of ${name}`] = gzip;

const isOver = ([name, limit]) => !(found[name] <= limit);
const digits = (value) => value.toFixed(value < 20 ? 2 : 0);
console.log(
  table(
    ["gate", "found", "at most", ""],
    Object.entries(LIMITS).map(([name, limit]) => [
      name,
      digits(found[name]),
      String(limit),
      isOver([name, limit]) ? "TOO MUCH" : "",
    ]),
  ),
);
process.exit(Object.entries(LIMITS).some(isOver) ? 1 : 0);
