// The longest stall of the event loop while a million new keys are called, and after they have expired:
// `node stall.mjs PEER [keys]`. The loop yields every hundred calls.
import process from "node:process";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import { send } from "../child.mjs";
import { PEERS } from "./peers.mjs";

const [peer, keys = "1000000"] = process.argv.slice(2);
/** Longer than a million calls take. */
const WINDOW_MS = 3000;
const CALLS_BETWEEN_TURNS = 100;

// Shows the stalls of a `Map` alone.
const bare = () => {
  const map = new Map();
  return { check: async (key) => map.set(key, [performance.now()]) };
};
const open = peer === "a bare Map" ? bare : await PEERS[peer].load();
const limiter = open({ limits: [{ maxCalls: 1000, periodMs: WINDOW_MS }], maxKeys: Number(keys), sweepMs: WINDOW_MS });

/** The longest time between two turns of the event loop while `work` runs: by a probe in it, and by `monitorEventLoopDelay`. */
async function longest(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  let [last, most] = [performance.now(), 0];
  await work(async () => {
    await turn();
    const now = performance.now();
    most = Math.max(most, now - last);
    last = now;
  });
  delay.disable();
  return { probeMs: Math.round(most * 10) / 10, delayMs: Math.round(delay.max / 1e5) / 10 };
}

const callAll = async (keyOf, calls, probe) => {
  for (let call = 0; call < calls; call += 1) {
    await limiter.check(keyOf(call));
    if (call % CALLS_BETWEEN_TURNS === 0) await probe();
  }
};

await callAll((call) => `warm:${call % 1000}`, 50_000, turn);
await sleep(100);
const start = performance.now();
const arriving = await longest((probe) => callAll((call) => `user:${call}`, Number(keys), probe));
const arrivedMs = Math.round(performance.now() - start);
// The keys expire while a few thousand others are called, so that timers and sweeps run.
const expiring = await longest(async (probe) => {
  const until = performance.now() + WINDOW_MS + 500;
  while (performance.now() < until) await probe();
  await callAll((call) => `other:${call % 5000}`, 600_000, probe);
});
send({ peer, arrivedMs, arriving, expiring });
process.exit(0);
