/**
 * Runs a fleet under real HTTP load: a Redis, four processes, a load balancer in front of them, and users who exceed their limit.
 * Kills Redis and restarts it. Prints a line for each second, and verifies the claims of docs/guide/redis-in-production.md from the responses; exits 1 if a
 * claim does not hold, or if there is no redis-server.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { audit } from "./fleet/audit.js";
import { balancerOver } from "./fleet/balancer.js";
import { INSTANCES, LIMIT, PERIOD_MS } from "./fleet/limit.js";
import { RedisServer } from "./fleet/redis-server.js";
import { HEADING, lineOf } from "./fleet/report.js";
import { type Exchange, traffic } from "./fleet/traffic.js";

const SECONDS = 12;
const GOES_AFTER = 4;
const COMES_BACK_AFTER = 8;
/** After three failures in a row, an instance tries Redis once a second. */
const WITHIN_MS = 2000;
/** Requests a second: within the limit, a little above it, and an attack. */
const USERS = { ada: 8, ben: 15, mallory: 200 };

delete process.env["TESTING"];
process.exitCode = await demo();

async function demo(): Promise<number> {
  const redis = await RedisServer.start().catch((problem: unknown) => {
    console.error(problem instanceof Error ? problem.message : problem);
  });
  if (redis === undefined) return 1;
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(signal, () => void redis.kill().finally(() => process.exit(1)));
  }
  const env = { ...process.env, REDIS_PORT: String(redis.port) };
  const instances = Array.from({ length: INSTANCES }, () =>
    fork(new URL("fleet/instance.js", import.meta.url), { env }),
  );
  let balancer: Server | undefined;
  try {
    balancer = balancerOver(await Promise.all(instances.map(portOf))).listen(0, "127.0.0.1");
    await once(balancer, "listening");
    return await underLoad(redis, (balancer.address() as AddressInfo).port);
  } finally {
    for (const instance of instances) if (instance.connected) instance.disconnect();
    balancer?.close();
    balancer?.closeAllConnections();
    await redis.kill();
  }
}

async function portOf(instance: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    instance.once("message", (port) => resolve(port as number));
    instance.once("exit", () => reject(new Error("An instance ended before it listened")));
  });
}

async function underLoad(redis: RedisServer, port: number): Promise<number> {
  const users = Object.entries(USERS).map(([user, perSecond]) => `${user} ${String(perSecond)}`);
  console.log(`${String(INSTANCES)} processes on one Redis, behind a balancer on http://127.0.0.1:${String(port)}
Limit: ${String(LIMIT.maxCalls)} requests per ${LIMIT.period} for a user. Requests a second: ${users.join(", ")}
`);
  console.log(HEADING);
  const exchanges: Exchange[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + SECONDS * 1000;
  const load = Promise.all(
    Object.entries(USERS).map(([user, perSecond]) => traffic(user, perSecond, port, endsAt, exchanges)),
  );
  let [wentAt, cameBackAt] = [Infinity, Infinity];
  for (let second = 1, printed = 0; second <= SECONDS; second += 1) {
    await Promise.race([sleep(startedAt + second * 1000 - performance.now()), load]);
    console.log(lineOf(second, exchanges.slice(printed)));
    printed = exchanges.length;
    if (second === GOES_AFTER) {
      console.log("      -- Redis is killed");
      wentAt = performance.now();
      await redis.kill();
    }
    if (second === COMES_BACK_AFTER) {
      console.log("      -- Redis is back, empty");
      await redis.restart();
      cameBackAt = performance.now();
    }
  }
  await load;

  const claim = { maxCalls: LIMIT.maxCalls, periodMs: PERIOD_MS, wentAt, cameBackAt, withinMs: WITHIN_MS };
  const wrong = audit(exchanges, claim);
  for (const line of new Set(wrong)) console.error(`WRONG  ${line}`);
  if (wrong.length > 0) return 1;
  console.log(`
Checked from the users' side, over ${String(exchanges.length)} responses: every request got a response in time; no user was admitted more than
${String(LIMIT.maxCalls)} requests in any window, and twice that where one reached over the loss of Redis or its return.`);
  return 0;
}
