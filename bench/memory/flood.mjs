// One call for each of twenty million keys, with a heap of 2 GB: `node --max-old-space-size=2048 flood.mjs PEER [keys] [maxKeys]`.
// Reports its progress every 100,000 keys, because some limiters do not reach the end.
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { send } from "../child.mjs";
import { heldBytes } from "../weight.mjs";
import { PEERS } from "./peers.mjs";

const [peer, keys = "20000000", maxKeys = "1000000"] = process.argv.slice(2);
const limiter = (await PEERS[peer].load())({
  limits: [{ maxCalls: 100, periodMs: 3_600_000 }],
  maxKeys: Number(maxKeys),
});
const start = performance.now();
const progress = (called) => ({
  called,
  held: limiter.size(),
  heapMb: Math.round(heldBytes() / 2 ** 20),
  ms: Math.round(performance.now() - start),
});
for (let called = 0; called < Number(keys); called += 1) {
  if (called % 100_000 === 0) {
    send(progress(called));
    await turn();
  }
  try {
    await limiter.check(`user:${called}`);
  } catch (error) {
    send({ ...progress(called), threw: `${error.name}: ${error.message}` });
    process.exit(0);
  }
}
send(progress(Number(keys)));
process.exit(0);
