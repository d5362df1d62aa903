// Floods a capped store with 10 million keys of one call each, and prints the result as JSON.
// Usage: node --expose-gc flood.mjs DISTRIBUTION MAX_CALLS
import { pathToFileURL } from "node:url";

const [distribution, maxCallsText] = process.argv.slice(2);
const { AsyncRateLimiter, MemoryStore } = await import(pathToFileURL(`${distribution}/esm/index.js`).href);

const maxCalls = Number(maxCallsText);
const guarded = 1000;
const store = new MemoryStore({ maxKeys: 50_000, clock: { now: () => 0 } });
const limiter = new AsyncRateLimiter({ maxCalls, period: "1h", store, bypass: false });

// These keys reach their limit before the flood fills the rest of the store.
for (let key = 0; key < guarded; key += 1) limiter.checkSync(`guarded ${key}`, { cost: maxCalls });

function heap() {
  globalThis.gc();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

let refused = 0;
let largest = 0;
const report = {};
for (let key = 1; key <= 10_000_000; key += 1) {
  if (!(await limiter.isAllowed(`flood ${key}`))) refused += 1;
  largest = Math.max(largest, store.size);
  if (key === 2_000_000) report.heapAt2M = heap();
}
report.heapAt10M = heap();

let wronglyAdmitted = 0;
for (let key = 0; key < guarded; key += 1) {
  if (limiter.checkSync(`guarded ${key}`).allowed) wronglyAdmitted += 1;
}
console.log(JSON.stringify({ ...report, largest, guarded, wronglyAdmitted, refused, evictions: store.evictions }));
