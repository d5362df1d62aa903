// One process of a fleet: 100 guesses at once on one account, when a line arrives. Prints how many were allowed.
// Usage: node login-worker.mjs DISTRIBUTION PORT NETWORK
import { once } from "node:events";
import { pathToFileURL } from "node:url";
import { Redis } from "ioredis";

const [distribution, port, network] = process.argv.slice(2);
const { LoginProtection } = await import(pathToFileURL(`${distribution}/esm/login/index.js`).href);
const { RedisStore } = await import(pathToFileURL(`${distribution}/esm/redis/index.js`).href);

const redis = new Redis(Number(port), "127.0.0.1");
const store = new RedisStore({ client: redis, timeout: "10s", whenDown: "deny" });
const logins = new LoginProtection({ secret: "one secret of at least 32 characters", store, bypass: false });
await redis.ping();
process.stdout.write("ready\n");
await once(process.stdin, "data");
const attempts = await Promise.all(
  Array.from({ length: 100 }, (_, bot) => logins.attempt({ account: "ada", address: `10.${network}.${bot}.1` })),
);
process.stdout.write(`${attempts.filter(({ allowed }) => allowed).length}\n`);
redis.disconnect();
process.stdin.destroy();
