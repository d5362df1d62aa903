// Twenty million keys that come once each, with a heap of 2 GB: `node --max-old-space-size=2048 flood.mjs PEER [keys] [maxKeys]`.
// Tells how far it has come every 100,000 keys, because some do not live to tell the end.
import process from "node:process";
import { setImmediate as turn } from "node:timers/promises";
import { tell } from "../child.mjs";
import { heldBytes } from "../weight.mjs";
import { PEERS } from "./peers.mjs";

const [peer, keys = "20000000", maxKeys = "1000000"] = process.argv.slice(2);
const limiter = (await PEERS[peer].load())({
  limits: [{ maxCalls: 100, periodMs: 3_600_000 }],
  maxKeys: Number(maxKeys),
});
const start = performance.now();
const told = (asked) => ({
  asked,
  held: limiter.size(),
  heapMb: Math.round(heldBytes() / 2 ** 20),
  ms: Math.round(performance.now() - start),
});
for (let asked = 0; asked < Number(keys); asked += 1) {
  if (asked % 100_000 === 0) {
    tell(told(asked));
    await turn();
  }
  try {
    await limiter.ask(`user:${asked}`);
  } catch (error) {
    tell({ ...told(asked), threw: `${error.name}: ${error.message}` });
    process.exit(0);
  }
}
tell(told(Number(keys)));
process.exit(0);
