import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { NOWHERE, TimestampLogs } from "../../src/core/timestamp-logs.js";
import { stampsOf } from "../store/tables.js";

/** A log of its own, with these stamps. */
function logOf(stamps: readonly number[]): { logs: TimestampLogs; place: number } {
  const logs = new TimestampLogs();
  const place = logs.add();
  for (const stamp of stamps) logs.append(place, stamp, -Infinity);
  return { logs, place };
}

/** Counts the slots for stamps that memory is asked for from now on. */
function countSlots(): () => number {
  let made = 0;
  vi.stubGlobal(
    "Float64Array",
    new Proxy(Float64Array, {
      construct: (target, [length]: [number]) => {
        made += length;
        return new target(length);
      },
    }),
  );
  return () => made;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

describe("a timestamp log", () => {
  it("takes room for one stamp at first, and doubles", () => {
    const capacities = [1, 2, 3, 4, 5, 8, 9].map((calls) => {
      const { logs, place } = logOf(numbers(calls));
      // Where all that it holds is dead it does not grow, and what it has room for is what it comes to hold.
      for (let more = 0; more < 20; more += 1) logs.append(place, 100, 99.5 + more);
      return stampsOf(logs.at(place)).length;
    });
    expect(capacities).toEqual([1, 2, 4, 4, 8, 8, 16]);
  });

  it("does not grow while its oldest stamp is dead in the longest period", () => {
    const { logs, place } = logOf([]);
    for (let stamp = 0; stamp < 1000; stamp += 1) logs.append(place, stamp, stamp - 4);
    expect(stampsOf(logs.at(place))).toEqual([999, 998, 997, 996]);
  });

  it("reserves for several stamps what free and dead slots do not hold, and no more", () => {
    const { logs, place } = logOf([0, 0, 0, 10]);
    const made = countSlots();
    const reserved = (stamps: number): number => {
      const before = made();
      logs.reserve(place, stamps, 5);
      return made() - before;
    };
    expect(reserved(3)).toBe(0);
    // A block of eight, and a slot for its owner.
    expect([reserved(4), reserved(4)]).toEqual([9, 0]);
    expect(reserved(100)).toBeGreaterThan(0);
    const before = made();
    for (let stamp = 0; stamp < 100; stamp += 1) logs.append(place, 20, -1);
    expect(made()).toBe(before);
    expect(stampsOf(logs.at(place))).toEqual([...numbers(100).map(() => 20), 10]);
  });

  it("holds times before, at and around 0 like any others", () => {
    const { logs, place } = logOf([-2, -1, 0, 0, 1]);
    expect(stampsOf(logs.at(place))).toEqual([1, 0, 0, -1, -2]);
    expect(logs.at(place).countAfter(-1)).toBe(3);
  });

  it("removes nothing where no stamp is equal, and no more than there are", () => {
    const { logs, place } = logOf([1, 3, 3]);
    expect(logs.removeStamps(place, 2, 1)).toBe(0);
    expect(logs.removeStamps(place, 3, 5)).toBe(2);
    expect(stampsOf(logs.at(place))).toEqual([1]);
  });

  it("is in order at every size up to one that fills more than a page, and as it goes round", () => {
    const { logs, place } = logOf([]);
    for (let stamp = 0; stamp < 40_000; stamp += 1) logs.append(place, stamp, -1);
    for (const n of [1, 2, 8192, 8193, 16_384, 16_385, 39_999, 40_000]) {
      expect(logs.at(place).nthMostRecent(n)).toBe(40_000 - n);
    }
    // 65,536 fit; with the first 30,000 dead it goes round instead of growing.
    for (let stamp = 40_000; stamp < 90_000; stamp += 1) logs.append(place, stamp, 30_000);
    expect(logs.at(place).countAfter(30_000)).toBe(59_999);
    expect(logs.at(place).nthMostRecent(59_999)).toBe(30_001);
    expect(logs.removeStamps(place, 89_998, 1)).toBe(1);
    expect([1, 2, 3].map((n) => logs.at(place).nthMostRecent(n))).toEqual([89_999, 89_997, 89_996]);
  });
});

describe("timestamp logs", () => {
  it("answer nothing for the place of nobody, whatever they hold", () => {
    const { logs } = logOf([1, 2, 3]);
    expect([logs.at(NOWHERE).nthMostRecent(1), logs.at(NOWHERE).countAfter(-Infinity)]).toEqual([-Infinity, 0]);
    expect(logs.at(NOWHERE).isEmpty).toBe(true);
  });

  it("are told apart by their epochs, also from those before a clear", () => {
    const logs = new TimestampLogs();
    const epochs = [logs.add(), logs.add()].map((place) => logs.epochOf(place));
    logs.remove(1);
    epochs.push(logs.epochOf(logs.add()));
    logs.clear();
    epochs.push(logs.epochOf(logs.add()));
    expect(new Set(epochs).size).toBe(4);
    expect(logs.size).toBe(1);
  });

  it("are empty when they are new, whatever was in their place", () => {
    const { logs, place } = logOf(numbers(9));
    logs.remove(place);
    const next = logs.add();
    expect(next).toBe(place);
    logs.append(next, 50, -Infinity);
    expect(stampsOf(logs.at(next))).toEqual([50]);
  });

  it("hold tens of thousands, as they come and as they go in any order", () => {
    const logs = new TimestampLogs();
    const count = 20_000;
    for (let place = 1; place <= count; place += 1) {
      expect(logs.add()).toBe(place);
      for (let call = 0; call <= place % 5; call += 1) logs.append(place, place, -1);
    }
    const model = numbers(count + 1);
    for (let left = count; left > 0; left -= 1) {
      const place = 1 + (((left * 7919 + 6151) % 15_013) % left);
      logs.remove(place);
      model[place] = model[left] as number;
      if (left % 1000 === 0) {
        for (let other = 1; other < left; other += 17) {
          const whose = model[other] as number;
          expect(stampsOf(logs.at(other))).toEqual(numbers(1 + (whose % 5)).map(() => whose));
        }
      }
    }
    expect(logs.size).toBe(0);
  });

  it("use the memory of those that are gone again", () => {
    const made = countSlots();
    const logs = new TimestampLogs();
    const comeAndGo = (): number => {
      const before = made();
      for (let key = 0; key < 3000; key += 1) {
        const place = logs.add();
        for (let call = 0; call <= key % 40; call += 1) logs.append(place, call, -1);
      }
      while (logs.size > 0) logs.remove(1 + (((logs.size * 31) % 1009) % logs.size));
      return made() - before;
    };
    const rounds = [comeAndGo(), comeAndGo(), comeAndGo()];
    expect(rounds[0]).toBeGreaterThan(3000 * 20);
    // A page of each size is kept, and the others are made anew.
    for (const later of rounds.slice(1)) expect(later).toBeLessThan((rounds[0] ?? 0) / 1.5);
    expect(rounds[2]).toBe(rounds[1]);
  });

  it("agree with plain arrays after any adding, recording, taking back and forgetting, and hold every live stamp", () => {
    const who = fc.nat(1000);
    const step = fc.oneof(
      { weight: 2, arbitrary: fc.constant({ verb: "add" as const, who: 0, gap: 0, many: 0 }) },
      {
        weight: 8,
        arbitrary: fc.record({
          verb: fc.constant("append" as const),
          who,
          gap: fc.nat(3),
          many: fc.integer({ min: 1, max: 70 }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          verb: fc.constant("take" as const),
          who,
          gap: fc.nat(5),
          many: fc.integer({ min: 1, max: 4 }),
        }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ verb: fc.constant("remove" as const), who, gap: fc.nat(0), many: fc.nat(0) }),
      },
      { weight: 1, arbitrary: fc.constant({ verb: "clear" as const, who: 0, gap: 0, many: 0 }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 12 }), fc.array(step, { maxLength: 60 }), (periodMs, steps) => {
        const logs = new TimestampLogs();
        // By place, from 1 on; newest first, dead ones included.
        let models: number[][] = [[]];
        let now = 0;
        for (const { verb, who: anybody, gap, many } of steps) {
          const place = models.length === 1 ? 0 : 1 + (anybody % (models.length - 1));
          const model = models[place] as number[];
          if (verb === "add") {
            expect(logs.add()).toBe(models.length);
            models.push([]);
          } else if (verb === "clear") {
            logs.clear();
            models = [[]];
          } else if (place === 0) {
            continue;
          } else if (verb === "append") {
            now += gap;
            if (many > 1) logs.reserve(place, many, now - periodMs);
            for (let unit = 0; unit < many; unit += 1) {
              logs.append(place, now, now - periodMs);
              model.unshift(now);
            }
          } else if (verb === "take") {
            const stamp = model[gap];
            if (stamp === undefined || stamp <= now - periodMs) continue;
            const taken = Math.min(many, model.filter((other) => other === stamp).length);
            model.splice(model.indexOf(stamp), taken);
            expect(logs.removeStamps(place, stamp, many)).toBe(taken);
          } else {
            logs.remove(place);
            const last = models.pop() as number[];
            if (place < models.length) models[place] = last;
          }
          expect(logs.size).toBe(models.length - 1);
          for (const [other, stamps] of models.entries()) {
            const held = stampsOf(logs.at(other));
            expect(held).toEqual(stamps.slice(0, held.length));
            for (const horizon of [now - periodMs, now - 1, now]) {
              expect(logs.at(other).countAfter(horizon)).toBe(stamps.filter((stamp) => stamp > horizon).length);
            }
            expect(logs.at(other).isEmpty).toBe(held.length === 0);
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
