// Heap bytes per key, of sluicegate or a peer. The source of the memory formula in the README.
// Usage: npm run build && node --expose-gc bench/memory/heap.mjs [limiter, default sluicegate] [keys, default 1,000,000]
import process from "node:process";
import { send } from "../child.mjs";
import { keptBytes } from "../weight.mjs";
import { PEERS } from "./peers.mjs";

const [peer = "sluicegate", keys = "1000000", cases = "1,2,5,20,100"] = process.argv.slice(2);
const open = await PEERS[peer].load();

async function filled(calls, count) {
  const limiter = open({ limits: [{ maxCalls: 100, periodMs: 3_600_000 }], maxKeys: count });
  for (let key = 0; key < count; key += 1) {
    for (let call = 0; call < calls; call += 1) await limiter.check(`user:${key}`);
  }
  return limiter;
}

const bytes = {};
for (const calls of cases.split(",").map(Number)) {
  // Fewer keys if each is large, so that all cases fit into the default heap.
  const count = Math.floor(Number(keys) / calls);
  const before = await keptBytes();
  const kept = { limiter: await filled(calls, count) };
  bytes[calls] = Math.round(((await keptBytes()) - before) / kept.limiter.size());
  kept.limiter.close?.(Array.from({ length: count }, (_, key) => `user:${key}`));
  delete kept.limiter;
  const formula = 100 + "user:123456".length + 8 * 2 ** Math.ceil(Math.log2(calls));
  const expected = peer === "sluicegate" ? `; the formula says ${formula}` : "";
  console.log(`${calls} calls: ${bytes[calls]} B per key over ${count} keys${expected}`);
}
send({ peer, bytes });
process.exit(0);
