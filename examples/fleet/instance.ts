/**
 * One of several processes of a service: `node instance.js`, with the port of Redis in `REDIS_PORT`. It sends its own port to its
 * parent.
 */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";
import { RedisRateLimiter } from "sluicegate/redis";
import { INSTANCES, LIMIT } from "./limit.js";

// A command that the client resends would count twice, and one that it queues would count late.
const client = new Redis({
  port: Number(process.env["REDIS_PORT"]),
  autoResendUnfulfilledCommands: false,
  enableOfflineQueue: false,
  retryStrategy: () => 100,
});
client.on("error", () => undefined);

// A long timeout, so that a busy machine does not look like a failure of Redis. A killed Redis closes its connections, which is
// noticed at once.
const limiter = new RedisRateLimiter({
  ...LIMIT,
  client,
  name: "api",
  timeout: "5s",
  instances: INSTANCES,
  // The demo causes these failures, and its table shows what decides during them. A service logs them here.
  onStoreError: () => undefined,
});

const server = createServer((request, response) => {
  void limiter.check(String(request.headers["x-user"])).then(
    ({ allowed, source }) => response.writeHead(allowed ? 200 : 429, { "x-source": source }).end(),
    () => response.writeHead(500).end(),
  );
});
// Before it is connected, the fallback would decide.
client.once("ready", () => {
  server.listen(0, "127.0.0.1", () => process.send?.((server.address() as AddressInfo).port));
});
process.on("disconnect", () => process.exit());
