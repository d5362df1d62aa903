import { describe, expect, it } from "vitest";
import {
  ALGORITHMS,
  fixedWindow,
  MAX_TIMES,
  parseTimes,
  PATTERNS,
  simulate,
  sluicegate,
  tokenBucket,
  twoCounters,
  worstWindow,
} from "../../../docs/playground/simulation.js";

const LIMITS = [
  { maxCalls: 100, periodMs: 60_000 },
  { maxCalls: 1, periodMs: 1_000 },
  { maxCalls: 7, periodMs: 13_000 },
  { maxCalls: 200, periodMs: 1_000 },
];
const [limit] = LIMITS as [(typeof LIMITS)[0]];

const most = (algorithm: (typeof ALGORITHMS)[number], arrivalsMs: readonly number[]): number =>
  simulate(algorithm, arrivalsMs, limit).worst.calls;

describe("the playground", () => {
  it("shows 200 calls at a fixed window and 100 at sluicegate for the edge burst", () => {
    const arrivalsMs = PATTERNS.edge(limit);
    expect(most(fixedWindow, arrivalsMs)).toBe(200);
    expect(most(twoCounters, arrivalsMs)).toBe(109);
    expect(most(tokenBucket, arrivalsMs)).toBe(119);
    expect(most(sluicegate, arrivalsMs)).toBe(100);
  });

  it("shows nearly twice the limit at each algorithm but sluicegate for the attacker", () => {
    const arrivalsMs = PATTERNS.attacker(limit);
    expect(most(fixedWindow, arrivalsMs)).toBe(200);
    expect(most(twoCounters, arrivalsMs)).toBe(179);
    expect(most(tokenBucket, arrivalsMs)).toBe(199);
    expect(most(sluicegate, arrivalsMs)).toBe(100);
    // `docs/playground.md` names this number, and those above.
    expect(simulate(twoCounters, arrivalsMs, limit).needlessRefusals).toBe(275);
  });

  it("shows a sluicegate that fills each window and refuses no call without need, for each pattern and limit", () => {
    for (const each of LIMITS) {
      for (const pattern of Object.values(PATTERNS)) {
        const { worst, needlessRefusals } = simulate(sluicegate, pattern(each), each);
        expect({ calls: worst.calls, needlessRefusals }).toEqual({ calls: each.maxCalls, needlessRefusals: 0 });
      }
    }
  });

  it("counts a refusal as needless if the window that ends with it has room", () => {
    // At 60 s the two counters still count the calls of 0 s, and the window (0 s, 60 s] is empty.
    const arrivalsMs = [...Array<number>(100).fill(0), 60_000];
    expect(simulate(twoCounters, arrivalsMs, limit).needlessRefusals).toBe(1);
    expect(simulate(sluicegate, arrivalsMs, limit)).toMatchObject({ needlessRefusals: 0, refusedMs: [] });
  });

  it("puts each call into one of the two lists", () => {
    const arrivalsMs = PATTERNS.attacker(limit);
    for (const algorithm of ALGORITHMS) {
      const { admittedMs, refusedMs } = simulate(algorithm, arrivalsMs, limit);
      expect([...admittedMs, ...refusedMs].sort((a, b) => a - b)).toEqual(arrivalsMs);
    }
  });
});

describe("the edge burst", () => {
  it("has as many calls as the limit in each of two neighbouring fixed windows", () => {
    for (const each of LIMITS) {
      const windows = PATTERNS.edge(each).map((ms) => Math.floor(ms / each.periodMs));
      expect(windows).toEqual([...Array<number>(each.maxCalls).fill(0), ...Array<number>(each.maxCalls).fill(1)]);
    }
  });
});

describe("worstWindow", () => {
  it("finds as many calls as a search over the window that ends with each call", () => {
    let seed = 1;
    const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let round = 0; round < 200; round += 1) {
      const timesMs = Array.from({ length: 1 + random(30) }, () => random(60)).sort((a, b) => a - b);
      const windows = timesMs.map((endMs) => timesMs.filter((ms) => ms > endMs - 10 && ms <= endMs).length);
      const { calls, firstMs, lastMs } = worstWindow(timesMs, 10);
      expect(calls).toBe(Math.max(...windows));
      expect(timesMs.filter((ms) => ms >= firstMs && ms <= lastMs)).toHaveLength(calls);
      expect(lastMs - firstMs).toBeLessThan(10);
    }
  });

  it("is empty if no call was admitted", () => {
    expect(worstWindow([], 10).calls).toBe(0);
  });
});

describe("parseTimes", () => {
  it("reads times in any order and with any separator", () => {
    expect(parseTimes(" 30, 10;20\n\n5\t1e2 ", 1)).toEqual([5, 10, 20, 30, 100]);
  });

  it("returns whole milliseconds for seconds with a fraction", () => {
    expect(parseTimes("0.0015 1.5", 1_000)).toEqual([2, 1_500]);
  });

  it.each([
    ["1 2\n3 four", "Line 2: expected a time in seconds, 0 or more, got `four`."],
    ["-1", "Line 1: expected a time in seconds, 0 or more, got `-1`."],
    ["1\n2\n.", "Line 3: expected a time in seconds, 0 or more, got `.`."],
    ["9e99", "Line 1: expected a time in seconds, 0 or more, got `9e99`."],
    ["12:30", "Line 1: expected a time in seconds, 0 or more, got `12:30`."],
    [" \n", "Expected at least one time in seconds."],
    ["1 ".repeat(MAX_TIMES + 1), "Expected at most 5000 times, got 5001."],
  ])("rejects %.12s", (text, message) => {
    expect(() => parseTimes(text, 1_000)).toThrow(new RangeError(message));
  });
});
