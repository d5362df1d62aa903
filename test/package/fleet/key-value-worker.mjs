// One process of a fleet on a key-value store that a socket serves: 50 callers on 20 keys for some seconds. Prints the result of
// each call, with the wall clock before and after it.
// Usage: node key-value-worker.mjs DISTRIBUTION PORT KIND SECONDS CLOCK_OFFSET_MS LIMITS
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

const [distribution, port, kind, seconds, offset, limitsText] = process.argv.slice(2);
const { LayeredRateLimiter } = await import(pathToFileURL(`${distribution}/esm/index.js`).href);
const { KeyValueStore } = await import(pathToFileURL(`${distribution}/esm/kv/index.js`).href);

const socket = createConnection(Number(port), "127.0.0.1");
const waiting = new Map();
createInterface({ input: socket }).on("line", (line) => {
  const [id, result] = JSON.parse(line);
  waiting.get(id)(result);
  waiting.delete(id);
});
let sent = 0;
const request = (...words) =>
  new Promise((resolve) => {
    waiting.set((sent += 1), resolve);
    socket.write(`${JSON.stringify([sent, ...words])}\n`);
  });

const kv = {
  compareAndSet: {
    get: (key) => request("get", key),
    compareAndSet: (key, version, text) => request("compareAndSet", key, version ?? null, text),
    delete: (key) => request("delete", key),
  },
  set: {
    get: async (key) => (await request("get", key))?.value,
    set: (key, text) => request("set", key, text),
    delete: (key) => request("delete", key),
  },
}[kind];

const limiter = new LayeredRateLimiter({
  limits: JSON.parse(limitsText).map(({ name, maxCalls, periodMs }) => ({ name, maxCalls, period: `${periodMs}ms` })),
  store: new KeyValueStore({
    kv,
    timeout: "20s",
    denyCache: false,
    clock: { now: () => Date.now() + 0.5 + Number(offset) },
  }),
});
const calls = [];
const end = Date.now() + 1000 * Number(seconds);
await Promise.all(
  Array.from({ length: 50 }, async () => {
    while (Date.now() < end) {
      const key = `key-${Math.floor(Math.random() * 20)}`;
      const from = Date.now();
      const { allowed } = await limiter.check(key);
      // A timestamp is rounded up.
      calls.push({ key, admitted: allowed, from, to: Date.now() + 1 });
      await sleep(Math.random() * 8);
    }
  }),
);
socket.destroy();
process.stdout.write(JSON.stringify(calls));
