// Millions of random operations on full stores, in minutes: floods, rotating attackers, hostile keys, clock jumps, resets and
// refunds. Every result for a checked key is compared with a brute-force model: `npm run soak -- --minutes 10`.
// Exits with 1 on any violation; `--seed` reproduces it, at the step that is printed.
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { ProcessMetrics } from "./process-metrics.mjs";
import { StoreUnderTest } from "./store-under-test.mjs";
import { Traffic } from "./traffic.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) throw new RangeError("Usage: --minutes N [--seed N]");

const STEPS_PER_TURN = 500;
const SAMPLE_EVERY_MS = 5000;

const only = (maxCalls, period) => [{ name: "Only", maxCalls, period }];
const LAYERS = [
  { name: "Burst", maxCalls: 3, period: "1s" },
  { name: "Middle", maxCalls: 12, period: "10s" },
  { name: "Long", maxCalls: 40, period: "2m" },
];
const STORES = [
  { name: "a full store that evicts", maxKeys: 100_000, onFull: "evict", namespaces: [only(5, "10s"), LAYERS] },
  { name: "a full store that denies", maxKeys: 5000, onFull: "deny", namespaces: [LAYERS, only(2, "3s")] },
  {
    name: "a store full of keys at their limit",
    maxKeys: 3000,
    onFull: "evict",
    namespaces: [only(1, "5s"), only(2, "20s")],
  },
  {
    name: "a store that is not full",
    maxKeys: 200_000,
    onFull: "evict",
    namespaces: [only(1, "700ms"), only(64, "4s")],
  },
];

const targets = STORES.map((options, at) => {
  const target = new StoreUnderTest(options, seed);
  return { target, traffic: new Traffic(target, seed + at) };
});
const metrics = new ProcessMetrics();
const start = performance.now();

function report(mb) {
  const sum = (of) => targets.reduce((total, { target }) => total + of(target), 0);
  const seconds = (performance.now() - start) / 1000;
  const steps = sum(({ step }) => step);
  const number = (value) => Math.round(value).toLocaleString("en");
  const parts = [
    `${(seconds / 60).toFixed(1)} min`,
    `${number(steps)} operations (${number(steps / seconds)}/s)`,
    `${number(sum(({ checks }) => checks))} results checked`,
    `${sum(({ violations }) => violations)} violations`,
    `heap ${mb.toFixed(1)} MB, ${metrics.slope.toFixed(2)} MB/min`,
    `longest stall ${metrics.longestStall.toFixed(1)} ms, event loop delayed by ${metrics.longestDelay.toFixed(1)} ms`,
    `keys ${targets.map(({ target }) => number(target.store.size)).join(" + ")}`,
    `${number(sum(({ store }) => store.evictions))} evictions`,
  ];
  console.log(parts.join(", "));
}

console.log(`seed ${seed}, ${minutes} minutes, Node ${process.version}`);
let [sampled, reported, mb] = [start, start, NaN];
for (let now = start; now - start < minutes * 60_000; now = performance.now()) {
  for (const { traffic } of targets) {
    metrics.begin();
    for (let step = 1; step <= STEPS_PER_TURN; step += 1) {
      await traffic.step();
      if (step % 10 === 0) metrics.probe();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (now - sampled > SAMPLE_EVERY_MS) {
    mb = await metrics.sampleHeap();
    sampled = performance.now();
  }
  if (now - reported > 60_000) {
    report(mb);
    reported = now;
  }
}
report(await metrics.sampleHeap());
process.exitCode = targets.some(({ target }) => target.violations > 0) ? 1 : 0;
