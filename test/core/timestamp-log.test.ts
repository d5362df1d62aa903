import fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as logs from "../../src/core/timestamp-log.js";

/** The log as an array, newest first, read through its public functions. */
function contents(log: logs.TimestampLog): number[] {
  const stamps: number[] = [];
  for (let n = 1; logs.nthMostRecent(log, n) !== -Infinity; n += 1) stamps.push(logs.nthMostRecent(log, n));
  return stamps;
}

const isSuffix = (whole: readonly number[], end: readonly number[]): boolean =>
  end.every((stamp, at) => whole[at] === stamp);

describe("a timestamp log", () => {
  it("takes room for one stamp at first, and doubles", () => {
    let log = logs.createLog(0, 1);
    const sizes = [1, 2, 3, 4, 5].map((stamp) => {
      log = logs.append(log, stamp, 0);
      return log.length;
    });
    const [header] = [sizes[0]! - 1];
    expect(sizes.map((size) => size - header)).toEqual([1, 2, 4, 4, 8]);
  });

  it("keeps its place and its epoch as it grows", () => {
    let log = logs.createLog(3, 7);
    logs.setPlace(log, 9);
    for (let stamp = 0; stamp < 20; stamp += 1) log = logs.append(log, stamp, -1);
    expect([logs.placeOf(log), logs.epochOf(log)]).toEqual([9, 7]);
  });

  it("does not grow while its oldest stamp is dead in the longest period", () => {
    let log = logs.createLog(0, 1);
    for (let stamp = 0; stamp < 1000; stamp += 1) log = logs.append(log, stamp, stamp - 4);
    expect(log.length).toBe(logs.createLog(0, 1).length + 3);
  });

  it("holds times before, at and around 0 like any others", () => {
    let log = logs.createLog(0, 1);
    for (const stamp of [-2, -1, 0, 0, 1]) log = logs.append(log, stamp, -10);
    expect(contents(log)).toEqual([1, 0, 0, -1, -2]);
    expect(logs.countAfter(log, -1)).toBe(3);
  });

  it("agrees with a plain array after any appends and removals, and holds every live stamp", () => {
    const step = fc.oneof(
      { weight: 3, arbitrary: fc.record({ gap: fc.nat(4), cost: fc.integer({ min: 1, max: 4 }) }) },
      { weight: 1, arbitrary: fc.record({ back: fc.nat(5), most: fc.integer({ min: 1, max: 4 }) }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 80 }), (periodMs, steps) => {
        let log = logs.createLog(0, 1);
        let model: number[] = []; // Newest first, dead ones included.
        let now = 0;
        for (const one of steps) {
          if ("gap" in one) {
            now += one.gap;
            for (let unit = 0; unit < one.cost; unit += 1) {
              log = logs.append(log, now, now - periodMs);
              model.unshift(now);
            }
          } else {
            const stamp = model[one.back];
            if (stamp === undefined || stamp <= now - periodMs) continue;
            const expected = Math.min(one.most, model.filter((other) => other === stamp).length);
            const from = model.indexOf(stamp);
            model = [...model.slice(0, from), ...model.slice(from + expected)];
            expect(logs.removeStamps(log, stamp, one.most)).toBe(expected);
          }
          const held = contents(log);
          expect(isSuffix(model, held)).toBe(true);
          for (const horizon of [now - periodMs, now - 1, now, now - 2 * periodMs]) {
            const live = model.filter((stamp) => stamp > horizon).length;
            if (horizon >= now - periodMs) expect(logs.countAfter(log, horizon)).toBe(live);
          }
          expect(logs.isEmpty(log)).toBe(held.length === 0);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("removes nothing where no stamp is equal", () => {
    let log = logs.createLog(0, 1);
    for (const stamp of [1, 3, 3]) log = logs.append(log, stamp, -10);
    expect(logs.removeStamps(log, 2, 1)).toBe(0);
    expect(logs.removeStamps(log, 3, 5)).toBe(2);
    expect(contents(log)).toEqual([1]);
  });
});
