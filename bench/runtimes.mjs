// The memory benchmarks on other runtimes, from their npm packages: `npm run bench -- --runtimes`.
import { result } from "./child.mjs";
import { PAIRED, ratios } from "./memory/run.mjs";
import { FEW } from "./memory/shapes.mjs";
import { median, rounded, table } from "./stats.mjs";

const npx = (spec, ...command) => ["npx", "-y", "-p", spec, ...command];
const RUNTIMES = [
  ["Node 20", npx("node@20.20.2", "node"), []],
  ["Node 22", npx("node@22.23.3", "node"), []],
  ["Node 24", npx("node@24.21.0", "node"), []],
  ["Bun", npx("bun@1.4.5", "bun"), []],
  ["Deno", npx("deno@2.9.6", "deno"), ["run", "--allow-all", "--no-prompt", "--node-modules-dir=manual"]],
];

async function pairOn(command, flags, peer) {
  try {
    const options = { command, flags, timeLimitMs: 120_000 };
    return await result("memory/pair.mjs", [peer, FEW.join(";"), "3"], options);
  } catch (error) {
    const reason = error.message.split("\n").find((line) => line.includes("rror")) ?? error.message.split("\n")[0];
    return { peer, rows: FEW.map((shape) => ({ shape, skipped: `does not run on this runtime: ${reason}` })) };
  }
}

export async function runtimes() {
  const all = [];
  for (const [runtime, command, flags] of RUNTIMES) {
    const pairs = [];
    for (const peer of PAIRED) pairs.push(await pairOn(command, flags, peer));
    all.push({ runtime, pairs });
    console.error(`runtimes: ${runtime}`);
  }
  for (const name of FEW) {
    console.log(`\n${name}: times as long as sluicegate\n`);
    const cells = PAIRED.map((peer, at) => [
      peer,
      ...all.map(({ pairs }) => {
        const row = pairs[at].rows.find(({ shape }) => shape === name);
        return row.ns === undefined ? "-" : String(rounded(median(ratios(row))));
      }),
    ]);
    console.log(table(["limiter", ...all.map(({ runtime }) => runtime)], cells));
  }
  for (const { runtime, pairs } of all) {
    for (const { peer, rows } of pairs) {
      const [{ skipped }] = rows;
      if (skipped?.startsWith("does")) console.log(`${runtime}, ${peer}: ${skipped}`);
    }
  }
  return all;
}
