// One process of a fleet: for each line, which has a key and the end of its lock, calls of the key, and in between an unlock and a reset
// that were decided on that lock. Prints what became of them.
// Usage: node locks-worker.mjs DISTRIBUTION PORT
import { createInterface } from "node:readline";
import { setImmediate as nextTurn } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";

const [distribution, port] = process.argv.slice(2);
const { RedisRateLimiter } = await import(pathToFileURL(`${distribution}/esm/redis/index.js`).href);

const client = new Redis(Number(port), "127.0.0.1");
const options = { timeout: "10s", whenDown: "deny", denyCache: false, bypass: false };
const limiter = new RedisRateLimiter({ maxCalls: 3, period: "1h", lockFor: "1h", client, ...options });
await client.ping();
process.stdout.write("ready\n");
for await (const line of createInterface(process.stdin)) {
  const { key, lockedUntil } = JSON.parse(line);
  const changes = ["unlock", "reset"].map((verb) => ({ verb, at: Math.floor(Math.random() * 20) }));
  const pending = { unlocks: [], resets: [], checks: [] };
  for (let call = 0; call < 20; call += 1) {
    for (const { verb } of changes.filter(({ at }) => at === call)) {
      pending[`${verb}s`].push(limiter[verb](key, { lockedUntil }));
    }
    pending.checks.push(limiter.check(key));
    // Calls of one turn are one command.
    await nextTurn();
  }
  const [unlocks, checks] = await Promise.all([Promise.all(pending.unlocks), Promise.all(pending.checks)]);
  await Promise.all(pending.resets);
  const strikes = checks.filter(({ refusedBy }) => refusedBy === "limit").length;
  process.stdout.write(`${JSON.stringify({ unlocks: unlocks.filter(Boolean).length, strikes })}\n`);
}
client.disconnect();
