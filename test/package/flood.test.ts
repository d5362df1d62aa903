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
  // A process of its own: it collects garbage on demand, and measures no heap but its own.
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
  "10 million distinct keys leave size and heap where the cap puts them, and every key at its limit refused",
  { timeout },
  async () => {
    const report = await flood(5);
    expect(report.largest).toBe(50_000);
    expect(report.heapAt10M).toBeLessThan(report.heapAt2M * 1.1);
    expect(report.guarded).toBe(1000);
    expect(report.wronglyAdmitted).toBe(0);
    // The 1,000 at their limit are 2% of the store, and a newcomer is refused where the hand meets 32 of them in a row.
    expect(report.refused / 10_000_000).toBeLessThan(0.025);
    expect(report.evictions).toBe(10_000_000 - 49_000 - report.refused);
  },
);

it.concurrent(
  "a flood against maxCalls 1 is refused at the cap, since every key stands at its limit",
  { timeout },
  async () => {
    const report = await flood(1);
    expect(report.largest).toBe(50_000);
    expect(report.heapAt10M).toBeLessThan(report.heapAt2M * 1.1);
    expect(report.wronglyAdmitted).toBe(0);
    expect(report.evictions).toBe(0);
    expect(report.refused).toBe(10_000_000 - 49_000);
  },
);

it("a key that was cut out of a header does not keep the header alive", async () => {
  const { stdout } = await run(process.execPath, ["--expose-gc", script("slices.mjs"), inject("distribution")]);
  expect(Number(stdout)).toBeLessThan(400);
});
