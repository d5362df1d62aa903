// What callers see when Redis really fails: `npm run bench:faults`. 20 callers make calls of 20 keys all the time. The fault starts
// after a second and lasts for three. The limit is 50 in 60 s, so every admitted call of a key above 50 is one too many.
import { createConnection, createServer } from "node:net";
import { once } from "node:events";
import { Redis } from "ioredis";
import { RedisRateLimiter } from "sluicegate/redis";
import { median, needRedis, sleep, startRedis } from "./redis.mjs";

needRedis();
const LIMIT = 50;
const TIMEOUT_MS = 100;
const FAULT_MS = 3000;

/** A TCP proxy that can delay or drop the replies of Redis. */
async function proxyTo(port) {
  const ways = { delayMs: 0, dropsReplies: false, sockets: new Set() };
  const server = createServer((client) => {
    const redis = createConnection({ port, host: "127.0.0.1" });
    for (const [one, other] of [
      [client, redis],
      [redis, client],
    ]) {
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
      ways.sockets.add(one);
    }
    client.on("data", (data) => redis.write(data));
    redis.on("data", (data) => {
      if (ways.dropsReplies) return;
      if (ways.delayMs === 0) client.write(data);
      else setTimeout(() => client.destroyed || client.write(data), ways.delayMs);
    });
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return { ...server.address(), ways, close: () => server.close() };
}

const FAULTS = {
  "none, for comparison": {},
  "killed, back empty": { begin: ({ redis }) => redis.kill(), end: ({ redis }) => redis.restart() },
  "stopped (SIGSTOP)": { begin: ({ redis }) => redis.signal("SIGSTOP"), end: ({ redis }) => redis.signal("SIGCONT") },
  "slow: 300 ms a reply": { begin: ({ ways }) => (ways.delayMs = 300), end: ({ ways }) => (ways.delayMs = 0) },
  "replies lost": {
    begin: ({ ways }) => (ways.dropsReplies = true),
    // TCP does not skip lost bytes, so the connection ends.
    end: ({ ways }) => {
      ways.dropsReplies = false;
      for (const socket of ways.sockets) socket.destroy();
    },
  },
  "SCRIPT FLUSH, 200 a second": { each: ({ admin }) => admin.script("FLUSH") },
  "CLIENT KILL, 200 a second": { each: ({ admin }) => admin.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
  "out of memory": {
    // Refusals need no memory, so new keys are called as well.
    hasNewKeys: true,
    begin: ({ admin }) => admin.config("SET", "maxmemory", "1"),
    end: ({ admin }) => admin.config("SET", "maxmemory", "0"),
  },
};

console.log(
  "fault | decided meanwhile by | p50, p99, longest | store errors | Redis used again after | calls too many",
);
for (const [name, { begin, each, end, hasNewKeys }] of Object.entries(FAULTS)) {
  const redis = await startRedis();
  const proxy = await proxyTo(redis.port);
  const admin = new Redis(redis.port, "127.0.0.1");
  const client = new Redis(proxy.port, "127.0.0.1", { retryStrategy: () => 50 });
  for (const one of [admin, client]) one.on("error", () => undefined);
  let failures = 0;
  const limiter = new RedisRateLimiter({
    maxCalls: LIMIT,
    period: "60s",
    client,
    timeout: `${TIMEOUT_MS}ms`,
    onStoreError: () => (failures += 1),
  });

  const fault = { redis, ways: proxy.ways, admin };
  const calls = [];
  let isOver = false;
  const caller = async (_, at) => {
    while (!isOver) {
      const start = performance.now();
      const { allowed, source } = await limiter.check(`key-${at}`);
      calls.push({ at, allowed, source, start, ms: performance.now() - start });
      if (hasNewKeys) await limiter.check(`new-${calls.length}`);
      await sleep(5 + 5 * Math.random());
    }
  };
  const callers = Promise.all(Array.from({ length: 20 }, caller));
  await sleep(1000);
  const from = performance.now();
  await begin?.(fault);
  const repeated = each && setInterval(() => each(fault), 5);
  await sleep(FAULT_MS);
  clearInterval(repeated);
  await end?.(fault);
  const until = performance.now();
  await sleep(2500);
  isOver = true;
  await callers;

  const during = calls.filter(({ start }) => start >= from && start < until);
  const share = [...new Set(during.map(({ source }) => source))].map((source) => {
    const answered = during.filter((call) => call.source === source).length;
    return `${source} ${((100 * answered) / during.length).toFixed(1)}%`;
  });
  const times = during.map(({ ms }) => ms).sort((a, b) => a - b);
  const at = (share) => times[Math.min(times.length - 1, Math.floor(share * times.length))].toFixed(1);
  const back = calls.find(({ start, source }) => start >= until && source === "redis");
  const counts = Array.from({ length: 20 }, (_, key) => calls.filter((call) => call.at === key && call.allowed).length);
  const over = Math.max(...counts) - LIMIT;
  console.log(
    [
      name,
      share.sort().join(", "),
      `${median(times).toFixed(1)}, ${at(0.99)}, ${times.at(-1).toFixed(1)} ms`,
      failures,
      `${(back.start + back.ms - until).toFixed(0)} ms`,
      Math.max(0, over),
    ].join(" | "),
  );
  for (const one of [admin, client]) one.disconnect();
  proxy.close();
  await redis.kill();
}
