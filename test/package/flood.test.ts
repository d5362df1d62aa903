import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, inject, it } from "vitest";

const run = promisify(execFile);
const script = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Report {
  largest: number;
  heapAt2M: number;
  heapAt10M: number;
  guarded: number;
  wronglyAdmitted: number;
  refused: number;
  evictions: number;
}

async function flood(maxCalls: number): Promise<Report> {
  // A separate process can collect garbage on demand, and its heap has nothing else in it.
  const { stdout } = await run(process.execPath, [
    "--expose-gc",
    script("flood.mjs"),
    inject("distribution"),
    String(maxCalls),
  ]);
  return JSON.parse(stdout) as Report;
}

const timeout = 300_000;

it.concurrent(
  "a full store stays at its cap during 10 million new keys, and refuses every key that is at its limit",
  { timeout },
  async () => {
    const report = await flood(5);
    expect(report.largest).toBe(50_000);
    expect(report.heapAt10M).toBeLessThan(report.heapAt2M * 1.1);
    expect(report.guarded).toBe(1000);
    expect(report.wronglyAdmitted).toBe(0);
    // 1,000 keys at their limit are 2% of the store. A new key is refused if the evictor meets 32 of them in a row.
    expect(report.refused / 10_000_000).toBeLessThan(0.025);
    expect(report.evictions).toBe(10_000_000 - 49_000 - report.refused);
  },
);

it.concurrent("a full store refuses all new keys when every key is at its limit", { timeout }, async () => {
  const report = await flood(1);
  expect(report.largest).toBe(50_000);
  expect(report.heapAt10M).toBeLessThan(report.heapAt2M * 1.1);
  expect(report.wronglyAdmitted).toBe(0);
  expect(report.evictions).toBe(0);
  expect(report.refused).toBe(10_000_000 - 49_000);
});

it("a key that is a slice of a long string does not retain that string", async () => {
  const { stdout } = await run(process.execPath, ["--expose-gc", script("slices.mjs"), inject("distribution")]);
  expect(Number(stdout)).toBeLessThan(400);
});
