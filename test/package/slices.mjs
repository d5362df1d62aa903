// Prints the heap bytes per key if each key is a slice of a string of 9 KB, as a part of a header is.
// Usage: node --expose-gc slices.mjs DISTRIBUTION
import { pathToFileURL } from "node:url";

const [distribution] = process.argv.slice(2);
const { AsyncRateLimiter, MemoryStore } = await import(pathToFileURL(`${distribution}/esm/index.js`).href);

const store = new MemoryStore();
const limiter = new AsyncRateLimiter({ maxCalls: 5, period: "1h", store, bypass: false });
const heap = async () => {
  // Twice: another thread frees the array buffers of the headers some time after the collection.
  for (let round = 0; round < 2; round += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    globalThis.gc();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

const before = await heap();
for (let client = 0; client < 5000; client += 1) {
  const header = Buffer.from(String(client).padStart(9000, "x")).toString("latin1");
  limiter.checkSync(header.slice(-30));
}
console.log(((await heap()) - before) / store.size);
