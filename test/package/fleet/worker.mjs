// One process of a fleet: 50 callers on 20 keys for some seconds. Prints the result of each call with the time of the server.
// Usage: node worker.mjs DISTRIBUTION PORT KIND SECONDS CLOCK_OFFSET_MS LIMITS
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";

const [distribution, port, kind, seconds, offset, limitsText] = process.argv.slice(2);

// The clock of this process is wrong by hours, which must change nothing.
const [dateNow, performanceNow] = [Date.now, performance.now.bind(performance)];
Date.now = () => dateNow() + Number(offset);
performance.now = () => performanceNow() + Number(offset);

const { LayeredRateLimiter } = await import(pathToFileURL(`${distribution}/esm/index.js`).href);
const { RedisStore } = await import(pathToFileURL(`${distribution}/esm/redis/index.js`).href);

const limits = JSON.parse(limitsText);
const redis = new Redis(Number(port), "127.0.0.1");
const calls = [];

/** The limiter. Its replies, one for each key of a command, contain the time of the server. */
function exact() {
  const client = async (command) => {
    const reply = await redis.call(...command);
    const keys = command.slice(3, 3 + Number(command[2]));
    for (const [at, line] of String(reply).split("\n").entries()) {
      const [passed, , now, newest] = line.split(" ").map(Number);
      calls.push({ key: keys[at].split(":").at(-1), now, timestamp: passed === 1 ? now + newest : null });
    }
    return reply;
  };
  const limiter = new LayeredRateLimiter({
    limits: limits.map(({ name, maxCalls, periodMs }) => ({ name, maxCalls, period: `${periodMs}ms` })),
    store: new RedisStore({ client, timeout: "10s", whenDown: "deny", denyCache: false }),
  });
  return (key) => limiter.check(key);
}

/** The race that the model must find: a list that is read, changed and written back. */
function readModifyWrite() {
  const longest = Math.max(...limits.map(({ periodMs }) => periodMs));
  return async (key) => {
    const [[s, us], stored] = await Promise.all([redis.time(), redis.get(`list:${key}`)]);
    const now = s * 1000 + Math.floor(us / 1000);
    const timestamps = JSON.parse(stored ?? "[]").filter((timestamp) => timestamp > now - longest);
    const passed = limits.every(
      ({ maxCalls, periodMs }) => timestamps.filter((timestamp) => timestamp > now - periodMs).length < maxCalls,
    );
    calls.push({ key, now, timestamp: passed ? now : null });
    if (passed) await redis.set(`list:${key}`, JSON.stringify([...timestamps, now]));
  };
}

const call = { exact, readModifyWrite }[kind]();
const end = performanceNow() + 1000 * Number(seconds);
await Promise.all(
  Array.from({ length: 50 }, async () => {
    while (performanceNow() < end) {
      await call(`key-${Math.floor(Math.random() * 20)}`);
      await sleep(Math.random() * 8);
    }
  }),
);
redis.disconnect();
process.stdout.write(JSON.stringify(calls));
