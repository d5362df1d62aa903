// All benchmarks: `npm run bench`. Prints tables, writes `bench/results.json` with the raw samples, `docs/benchmarks.md`
// and `bench/results.svg`.
//
//   npm run bench -- --only memory,exactness   some of them; the files keep the other results
//   npm run bench -- --quick                   tests that the benchmarks work, in five minutes; writes nothing
//   npm run bench -- --runtimes                a few of the checks on Node 20, 22 and 24, Bun and Deno
//   npm run bench -- --only stalls,flood --long   three runs of each, and 20M keys to the end in a heap of 4 GB
import { readFile, writeFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import { exactness } from "./exactness/run.mjs";
import { machine, versions } from "./machine.mjs";
import { flood, heap, stalls } from "./memory/footprint.mjs";
import { memory, printMemory } from "./memory/run.mjs";
import { page } from "./page.mjs";
import { picture, rowsOf } from "./picture.mjs";
import { runProgram } from "./programs.mjs";
import { runtimes } from "./runtimes.mjs";
import { printSizes, sizes } from "./size.mjs";
import { rounded, table } from "./stats.mjs";

const SHOWN = "10k keys, allowed, 100 in 1 h";
const RESULTS = new URL("results.json", import.meta.url);
const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    quick: { type: "boolean", default: false },
    long: { type: "boolean", default: false },
    runtimes: { type: "boolean", default: false },
  },
});

/** Each function measures, prints, and returns what `results.json` keeps. */
const PARTS = {
  sizes: async () => shown(await sizes(), printSizes),
  exactness,
  memory: async () => shown(await memory(options), printMemory),
  heap,
  stalls,
  flood,
  http: () => runProgram("http"),
  redis: () => runProgram("redis"),
  adaptive: () => runProgram("adaptive"),
  runtimes,
};

function shown(result, print) {
  print(result);
  return result;
}

const all = Object.keys(PARTS).filter((part) => part !== "runtimes");
const wanted = options.runtimes ? ["runtimes"] : (options.only?.split(",") ?? all);
const unknown = wanted.filter((part) => PARTS[part] === undefined);
if (unknown.length > 0)
  throw new RangeError(`Expected some of ${Object.keys(PARTS).join(", ")}, got ${unknown.join(", ")}`);

const before = await readFile(RESULTS, "utf8").then(JSON.parse, () => ({}));
const results = options.quick ? {} : { ...before, machine: machine(), versions: versions() };

/** Runs after each part, so that an interrupted run keeps its results. */
async function keep() {
  if (options.quick) return;
  const entries = Object.entries(results).map(([part, value]) => `${JSON.stringify(part)}:${JSON.stringify(value)}`);
  await writeFile(RESULTS, `{\n${entries.join(",\n")}\n}\n`);
  const drawn = picture(rowsOf(results, SHOWN), { shape: SHOWN, limit: 100 });
  await writeFile(new URL("results.svg", import.meta.url), drawn);
  await writeFile(new URL("../docs/benchmarks.md", import.meta.url), await page(results));
}

for (const part of wanted) {
  const start = performance.now();
  results[part] = await PARTS[part](options);
  await keep();
  console.error(`${part}: ${((performance.now() - start) / 1000).toFixed(0)} s`);
}

console.log(`\nSpeed and exactness: ${SHOWN}; the most calls in any window, for a limit of 100\n`);
const cell = (value) => (value === undefined ? "-" : String(rounded(value)));
const cells = rowsOf(results, SHOWN).map(({ name, times, worst, anyWorst }) => [
  name,
  cell(times),
  cell(worst),
  cell(anyWorst),
]);
console.log(table(["limiter", "times as long as sluicegate", "worst window", "at fractions of a ms"], cells));
