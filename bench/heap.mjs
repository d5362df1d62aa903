// Heap per key: what the memory formula of the README comes from.
// Usage: npm run build && node --expose-gc bench/heap.mjs [keys, default 1,000,000]
import { AsyncRateLimiter, MemoryStore } from "sluicegate";

const keys = Number(process.argv[2] ?? 1_000_000);

async function heap() {
  // What the last case left behind goes in a turn of its own, when nothing on the stack holds it any more.
  await new Promise((resolve) => setTimeout(resolve, 100));
  globalThis.gc();
  return process.memoryUsage().heapUsed;
}

function filled(calls, count) {
  const store = new MemoryStore({ maxKeys: count });
  const limiter = new AsyncRateLimiter({ maxCalls: 100, period: "1h", bypass: false, store });
  for (let key = 0; key < count; key += 1) {
    for (let call = 0; call < calls; call += 1) limiter.checkSync(`user:${key}`);
  }
  return store;
}

for (const calls of [1, 2, 5, 20, 100]) {
  // Fewer keys where each is large, so that all cases fit a default heap.
  const count = Math.floor(keys / Math.max(1, calls / 5));
  const before = await heap();
  const kept = { store: filled(calls, count) };
  const bytes = ((await heap()) - before) / kept.store.size;
  delete kept.store;
  const formula = 150 + "user:123456".length + 8 * 2 ** Math.ceil(Math.log2(calls));
  console.log(`${calls} calls: ${bytes.toFixed(0)} B per key over ${count} keys; the formula says ${formula}`);
}
