// Hours of traffic in minutes: floods, rotating attackers, hostile keys, clocks that jump, resets and refunds, at full speed
// on full stores, with every answer about the watched keys compared with a brute force. `npm run soak -- --minutes 10`.
// Exits with 1 on any violation; `--seed` brings it back, at the step that is printed.
import { performance } from "node:perf_hooks";
import { parseArgs } from "node:util";
import { House } from "./house.mjs";
import { Traffic } from "./traffic.mjs";
import { Vitals } from "./vitals.mjs";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "1" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
  },
});
const minutes = Number(values.minutes);
const seed = Number(values.seed);
if (!(minutes > 0) || !Number.isSafeInteger(seed)) throw new RangeError("Usage: --minutes N [--seed N]");

const STEPS_A_TURN = 500;
const WEIGHED_EVERY_MS = 5000;

const only = (maxCalls, period) => [{ name: "Only", maxCalls, period }];
const LAYERS = [
  { name: "Burst", maxCalls: 3, period: "1s" },
  { name: "Middle", maxCalls: 12, period: "10s" },
  { name: "Long", maxCalls: 40, period: "2m" },
];
const HOUSES = [
  { name: "a full store that evicts", maxKeys: 100_000, onFull: "evict", spaces: [only(5, "10s"), LAYERS] },
  { name: "a full store that denies", maxKeys: 5000, onFull: "deny", spaces: [LAYERS, only(2, "3s")] },
  {
    name: "a store full of keys at their limit",
    maxKeys: 3000,
    onFull: "evict",
    spaces: [only(1, "5s"), only(2, "20s")],
  },
  { name: "a store with room", maxKeys: 200_000, onFull: "evict", spaces: [only(1, "700ms"), only(64, "4s")] },
];

const houses = HOUSES.map((plan, at) => {
  const house = new House(plan, seed);
  return { house, traffic: new Traffic(house, seed + at) };
});
const vitals = new Vitals();
const start = performance.now();

function report(mb) {
  const sum = (of) => houses.reduce((total, { house }) => total + of(house), 0);
  const seconds = (performance.now() - start) / 1000;
  const steps = sum(({ step }) => step);
  const number = (value) => Math.round(value).toLocaleString("en");
  const parts = [
    `${(seconds / 60).toFixed(1)} min`,
    `${number(steps)} operations (${number(steps / seconds)}/s)`,
    `${number(sum(({ checked }) => checked))} answers checked`,
    `${sum(({ violations }) => violations)} violations`,
    `heap ${mb.toFixed(1)} MB, ${vitals.slope.toFixed(2)} MB/min`,
    `longest stall ${vitals.longestStall.toFixed(1)} ms, event loop late by ${vitals.longestDelay.toFixed(1)} ms`,
    `keys ${houses.map(({ house }) => number(house.store.size)).join(" + ")}`,
    `${number(sum(({ store }) => store.evictions))} evictions`,
  ];
  console.log(parts.join(", "));
}

console.log(`seed ${seed}, ${minutes} minutes, Node ${process.version}`);
let [weighed, reported, mb] = [start, start, NaN];
for (let now = start; now - start < minutes * 60_000; now = performance.now()) {
  for (const { traffic } of houses) {
    vitals.begin();
    for (let step = 1; step <= STEPS_A_TURN; step += 1) {
      await traffic.step();
      if (step % 10 === 0) vitals.probe();
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (now - weighed > WEIGHED_EVERY_MS) {
    mb = await vitals.weigh();
    weighed = performance.now();
  }
  if (now - reported > 60_000) {
    report(mb);
    reported = now;
  }
}
report(await vitals.weigh());
process.exitCode = houses.some(({ house }) => house.violations > 0) ? 1 : 0;
