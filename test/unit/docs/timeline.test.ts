import { describe, expect, it } from "vitest";
import { ALGORITHMS, PATTERNS, simulate } from "../../../docs/playground/simulation.js";
import { boundaries, cells, scaleFor, toX, windowSpan } from "../../../docs/playground/timeline.js";

const limits = [
  { maxCalls: 100, periodMs: 60_000 },
  { maxCalls: 1, periodMs: 1_000 },
  { maxCalls: 200, periodMs: 120_000 },
];
/** Pasted lists: one call, lists that are much longer than the period, one with a burst at its end, and one that is much denser. */
const pasted = [[0], [1_790_000_000_000], [0, 1e9], [0, 1e6, 1e6 + 1], Array<number>(5_000).fill(3)];

const cases = limits.flatMap((limit) =>
  [...Object.values(PATTERNS).map((pattern) => pattern(limit)), ...pasted].flatMap((arrivalsMs) =>
    [200, 313, 625].map((width) => {
      const results = ALGORITHMS.map((algorithm) => simulate(algorithm, arrivalsMs, limit));
      return { limit, arrivalsMs, results, scale: scaleFor(results, arrivalsMs, limit, width) };
    }),
  ),
);

describe("the timeline", () => {
  it("draws a cell for each call, inside the picture", () => {
    for (const { results, scale } of cases) {
      for (const { admittedMs, refusedMs } of results) {
        const up = [...cells(admittedMs, scale, -1).matchAll(/M([-\d.]+) ([-\d.]+)/g)];
        const down = [...cells(refusedMs, scale, 1).matchAll(/M([-\d.]+) ([-\d.]+)/g)];
        expect([up.length, down.length]).toEqual([admittedMs.length, refusedMs.length]);
        const xs = [...up, ...down].map(([, x]) => Number(x));
        const ys = [...up, ...down].map(([, , y]) => Number(y));
        expect(Math.min(...xs)).toBeGreaterThanOrEqual(0);
        expect(Math.max(...xs)).toBeLessThanOrEqual(scale.width);
        expect(Math.min(0, ...ys)).toBeGreaterThanOrEqual(-scale.admittedPx - 0.01);
        expect(Math.max(0, ...ys)).toBeLessThanOrEqual(scale.refusedPx);
      }
      expect(scale.admittedPx).toBeLessThanOrEqual(72.001);
      expect(scale.refusedPx).toBeLessThanOrEqual(72.001);
    }
  });

  it("marks a window that is one period wide, in the picture, and holds its calls", () => {
    for (const { limit, results, scale } of cases) {
      for (const { worst } of results) {
        const { left, right } = windowSpan(worst, limit, scale);
        expect(left).toBeGreaterThanOrEqual(-0.001);
        expect(right).toBeLessThanOrEqual(scale.width + 0.001);
        expect(right - left).toBeCloseTo(toX(scale, scale.fromMs + limit.periodMs), 2);
        expect(toX(scale, worst.firstMs)).toBeGreaterThanOrEqual(left - 0.001);
        expect(toX(scale, worst.lastMs)).toBeLessThanOrEqual(right + 0.001);
      }
    }
  });

  it("stacks the calls of the edge burst on their own side of the boundary, for each period", () => {
    for (let periodMs = 1_000; periodMs <= 120_000; periodMs += 1_000) {
      const limit = { maxCalls: 100, periodMs };
      const arrivalsMs = PATTERNS.edge(limit);
      const results = ALGORITHMS.map((algorithm) => simulate(algorithm, arrivalsMs, limit));
      const scale = scaleFor(results, arrivalsMs, limit, 500 + periodMs / 1_000);
      expect(boundaries(limit, scale)).toEqual([periodMs]);
      const lefts = [...cells(arrivalsMs, scale, -1).matchAll(/M([-\d.]+) /g)].map(([, x]) => Number(x));
      const boundary = toX(scale, periodMs);
      expect(lefts.filter((x) => x < boundary - scale.cellWidth / 2)).toHaveLength(100);
      expect(lefts.filter((x) => x > boundary)).toHaveLength(100);
    }
  });

  it("shows boundaries that leave room for their labels, none before time 0", () => {
    for (const { limit, scale } of cases) {
      const shown = boundaries(limit, scale);
      for (const [index, ms] of shown.entries()) {
        expect(ms % limit.periodMs).toBe(0);
        expect(ms).toBeGreaterThanOrEqual(Math.max(0, scale.fromMs));
        if (index > 0) expect(toX(scale, ms) - toX(scale, shown[index - 1]!)).toBeGreaterThan(89.9);
      }
    }
  });
});
