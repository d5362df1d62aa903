import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { RedisProcess, withoutRedis } from "../../support/redis/redis-process.js";
import { type ObservedCall, violationsOf } from "../../support/model.js";

const run = promisify(execFile);
const WORKER = fileURLToPath(new URL("worker.mjs", import.meta.url));
const HOUR = 3_600_000;
const LIMITS = [
  { name: "Burst", maxCalls: 6, periodMs: 100 },
  { name: "Long", maxCalls: 40, periodMs: 1000 },
];

/** One call of a fleet by the clock of the server. */
interface FleetCall {
  readonly key: string;
  /** The time of the decision, rounded down. */
  readonly now: number;
  /** The timestamp that was recorded, rounded up; null for a refused call. */
  readonly timestamp: number | null;
}

/** The order of the calls of one millisecond is unknown, so any admitted one may have been before a refused one. */
function observed({ key, now, timestamp }: FleetCall): ObservedCall {
  if (timestamp === null) return { key, admitted: false, from: now, to: now + 1 };
  return { key, admitted: true, from: timestamp, to: timestamp };
}

const faultsOf = (calls: readonly FleetCall[], limits: Parameters<typeof violationsOf>[1]): string[] =>
  violationsOf(calls.map(observed), limits);

describe("the model", () => {
  const call = (now: number, timestamp: number | null): FleetCall => ({ key: "ada", now, timestamp });
  const two = [{ maxCalls: 2, periodMs: 10 }];

  it("reports nothing for a correct history", () => {
    expect(faultsOf([call(0, 0), call(3, 3), call(9, null), call(10, 10), call(12, null), call(13, 13)], two)).toEqual(
      [],
    );
  });

  it("reports one call too many in a window, in any order of calls", () => {
    expect(faultsOf([call(9, 9), call(0, 0), call(3, 3)], two)).toEqual(["ada: 3 admitted within 10 ms"]);
  });

  it("reports a refusal that no window requires", () => {
    expect(faultsOf([call(0, 0), call(3, 3), call(10, null)], two)).toEqual([
      "ada: refused at 10, which no window requires",
    ]);
  });
});

describe.skipIf(withoutRedis !== undefined)(
  "four processes with 50 callers each on 20 keys, their clocks an hour apart",
  () => {
    let redis: RedisProcess;
    beforeAll(async () => {
      redis = await RedisProcess.start();
    });
    afterAll(() => redis.kill());

    const historyOf = async (kind: "exact" | "readModifyWrite", seconds: number): Promise<FleetCall[]> => {
      const histories = await Promise.all(
        [0, HOUR, -HOUR, 2 * HOUR].map(async (offset) => {
          const words = [WORKER, inject("distribution"), redis.port, kind, seconds, offset, JSON.stringify(LIMITS)];
          const { stdout } = await run(process.execPath, words.map(String), { maxBuffer: 2 ** 28 });
          return JSON.parse(stdout) as FleetCall[];
        }),
      );
      return histories.flat();
    };

    it("admit no call too many in any window, and refuse only what a window requires", async () => {
      const calls = await historyOf("exact", 4);
      const admitted = calls.filter(({ timestamp }) => timestamp !== null).length;
      // Both layers refuse calls, and every key exceeds its limit.
      expect(admitted).toBeGreaterThan(20 * 40 * 3);
      expect(calls.length).toBeGreaterThan(1.5 * admitted);
      expect(faultsOf(calls, LIMITS)).toEqual([]);
    });

    it("fail this check if they read, change and write back a list", async () => {
      const faults = faultsOf(await historyOf("readModifyWrite", 1), LIMITS);
      expect(faults.filter((fault) => fault.includes("admitted within")).length).toBeGreaterThan(10);
    });
  },
);
