/**
 * One of several instances of a service, each a process: `node instance.js`, with the port of Redis in `REDIS_PORT`. It tells
 * its parent on which port it listens.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";
import { RedisRateLimiter } from "sluicegate/redis";
import { INSTANCES, LIMIT } from "./limit.js";

// A command that the client sent again by itself would count twice, and one that it kept for later would count late.
const client = new Redis({
  port: Number(process.env["REDIS_PORT"]),
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  retryStrategy: () => 100,
});
client.on("error", () => undefined);

// Patient, so that it shows a Redis that is gone, and not a machine that is busy.
const limiter = new RedisRateLimiter({
  ...LIMIT,
  client,
  name: "api",
  timeout: "500ms",
  instances: INSTANCES,
  // The demo stages the failures, and its table shows who decides meanwhile. A service logs them here.
  onStoreError: () => undefined,
});

const server = createServer((request, response) => {
  void limiter.check(String(request.headers["x-user"])).then(
    ({ allowed, source }) => response.writeHead(allowed ? 200 : 429, { "x-answered-by": source }).end(),
    () => response.writeHead(500).end(),
  );
});
server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
process.on("disconnect", () => process.exit());
