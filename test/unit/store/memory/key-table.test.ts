import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import { allows } from "../../../../src/core/sliding-window.js";
import { StoreError } from "../../../../src/index.js";
import { KeyTable, NOWHERE } from "../../../../src/store/memory/key-table.js";
import { timestampsOf } from "../../../support/inspectable-namespace.js";

/** More than any refund of these tests moves. */
const MANY = 2 ** 24;

const numbers = (count: number): number[] => Array.from({ length: count }, (_, at) => at);

/** A table with one key, whose calls of cost 1 have these timestamps. None of them expires. */
function tableOf(timestamps: readonly number[]): { table: KeyTable; place: number } {
  const table = new KeyTable(2 ** 40);
  const place = table.add("ada");
  for (const timestamp of timestamps) table.append(place, 1, timestamp, timestamp);
  return { table, place };
}

/** Counts the numbers in all pages that are allocated from now on. */
function countNumbers(): () => number {
  const Real = Float64Array;
  let made = 0;
  vi.stubGlobal(
    "Float64Array",
    new Proxy(Real, {
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

describe("a log", () => {
  it("is in order at every size up to a ring larger than a page, and after the ring wraps around", () => {
    const periodMs = 60_000;
    const table = new KeyTable(periodMs);
    const place = table.add("ada");
    for (let now = 0; now < 40_000; now += 1) table.append(place, 1, now, now);
    for (const n of [1, 2, 8192, 8193, 16_384, 16_385, 39_999, 40_000]) {
      expect(table.logAt(place).nthMostRecent(n)).toBe(40_000 - n);
    }
    for (let now = 40_000; now < 150_000; now += 1) table.append(place, 1, now, now);
    expect(table.logAt(place).countAfter(149_999 - periodMs)).toBe(periodMs);
    expect(table.removeTimestamps(place, 149_998, 1, MANY)).toBe(1);
    expect([1, 2, 3].map((n) => table.logAt(place).nthMostRecent(n))).toEqual([149_999, 149_997, 149_996]);
  });

  it("does not grow while its oldest timestamp has expired in the longest period", () => {
    const table = new KeyTable(5);
    const place = table.add("ada");
    for (let now = 0; now < 1000; now += 1) table.append(place, 1, now, now);
    expect(timestampsOf(table.logAt(place))).toEqual([999, 998, 997, 996, 995]);
  });

  it("is overwritten from the start when all its timestamps have expired", () => {
    const table = new KeyTable(5);
    const place = table.add("ada");
    table.append(place, 9, 0, 0);
    table.append(place, 2, 5, 5);
    expect(timestampsOf(table.logAt(place))).toEqual([5, 5]);
  });

  it("grows for a cost to the smallest ring that holds what is unexpired, without the expired timestamps", () => {
    const table = new KeyTable(10);
    const place = table.add("ada");
    table.append(place, 3, 0, 0);
    table.append(place, 2, 8, 8);
    const made = countNumbers();
    // Two unexpired and three more are four older ones and the newest.
    table.append(place, 3, 10, 10);
    expect(made()).toBe(0);
    expect(timestampsOf(table.logAt(place))).toEqual([10, 10, 10, 8, 8]);
    table.append(place, 60, 10, 10);
    expect(made()).toBe(64);
    expect(timestampsOf(table.logAt(place)).length).toBe(65);
  });

  it("contains negative timestamps and 0 like any others", () => {
    const { table, place } = tableOf([-2, -1, 0, 0, 1]);
    expect(timestampsOf(table.logAt(place))).toEqual([1, 0, 0, -1, -2]);
    expect(table.logAt(place).countAfter(-1)).toBe(3);
  });

  it("loses no timestamp to a refund of another one, and no more than it contains", () => {
    const { table, place } = tableOf([1, 3, 3]);
    expect(table.removeTimestamps(place, 2, 1, MANY)).toBe(0);
    expect(table.removeTimestamps(place, 3, 5, MANY)).toBe(2);
    expect(timestampsOf(table.logAt(place))).toEqual([1]);
  });

  it("loses no timestamp to a refund that would move more timestamps than allowed", () => {
    const { table, place } = tableOf(numbers(10));
    expect(table.removeTimestamps(place, 3, 1, 5)).toBe(0);
    expect(table.removeTimestamps(place, 4, 1, 5)).toBe(1);
    expect(timestampsOf(table.logAt(place))).toEqual([9, 8, 7, 6, 5, 3, 2, 1, 0]);
  });

  it("contains up to 2^24 timestamps", () => {
    const { table, place } = tableOf([]);
    table.append(place, 2 ** 24, 5, 5);
    expect([1, 2 ** 24, 2 ** 24 + 1].map((n) => table.logAt(place).nthMostRecent(n))).toEqual([5, 5, -Infinity]);
    expect(table.logAt(place).countAfter(4)).toBe(2 ** 24);
  });
});

describe("a key table", () => {
  it("has an empty log for every unknown key", () => {
    const { table } = tableOf([1, 2, 3]);
    expect(table.placeOf("unknown")).toBe(NOWHERE);
    expect(timestampsOf(table.logAt(NOWHERE))).toEqual([]);
    expect(table.logAt(NOWHERE).countAfter(-Infinity)).toBe(0);
    table.clear();
    expect(timestampsOf(table.logAt(NOWHERE))).toEqual([]);
  });

  it("gives each log a unique identity, also after it is cleared", () => {
    const table = new KeyTable(10);
    const ids = ["a", "b"].map((key) => table.idAt(table.add(key)));
    table.forgetAt(1);
    ids.push(table.idAt(table.add("c")));
    table.clear();
    ids.push(table.idAt(table.add("a")));
    expect(new Set(ids).size).toBe(4);
    expect(table.size).toBe(1);
  });

  it("moves the last key, with its log, identity and note, to the place of a forgotten one", () => {
    const table = new KeyTable(100);
    for (const [at, key] of ["a", "b", "c"].entries()) table.append(table.add(key), at + 1, at, at);
    table.keepUntil(3, 70);
    table.keepUntil(1, 50);
    const id = table.idAt(3);
    table.forgetAt(1);
    expect([table.placeOf("a"), table.placeOf("b"), table.placeOf("c")]).toEqual([NOWHERE, 2, 1]);
    expect([table.idAt(1), table.keptUntil(1), table.keptUntil(2)]).toEqual([id, 70, -Infinity]);
    expect(timestampsOf(table.logAt(1))).toEqual([2, 2, 2]);
    // A new key has no note, even if the earlier key of its place had one.
    expect(table.keptUntil(table.add("d"))).toBe(-Infinity);
  });

  it("keeps the later of two notes", () => {
    const { table, place } = tableOf([0]);
    table.keepUntil(place, 50);
    table.keepUntil(place, 40);
    expect(table.keptUntil(place)).toBe(50);
  });

  it("keeps tens of thousands of keys while they are added and forgotten in any order", () => {
    const table = new KeyTable(10 ** 6);
    const count = 20_000;
    for (let place = 1; place <= count; place += 1) {
      expect(table.add(`key ${place}`)).toBe(place);
      table.append(place, 1 + (place % 5), place, place);
      if (place % 7 === 0) table.keepUntil(place, place);
    }
    const keys = numbers(count + 1);
    for (let left = count; left > 0; left -= 1) {
      const place = 1 + (((left * 7919 + 6151) % 15_013) % left);
      table.forgetAt(place);
      keys[place] = keys[left] as number;
      if (left % 1000 !== 0) continue;
      for (let other = 1; other < left; other += 17) {
        const key = keys[other] as number;
        expect([table.keyAt(other), table.placeOf(`key ${key}`)]).toEqual([`key ${key}`, other]);
        expect(timestampsOf(table.logAt(other))).toEqual(numbers(1 + (key % 5)).map(() => key));
        expect(table.keptUntil(other)).toBe(key % 7 === 0 ? key : -Infinity);
      }
    }
    expect(table.size).toBe(0);
  });

  it("reuses the memory of forgotten keys", () => {
    const made = countNumbers();
    const table = new KeyTable(10 ** 6);
    const addAndForget = (): number => {
      const before = made();
      for (let key = 0; key < 3000; key += 1) table.append(table.add(`key ${key}`), 1 + (key % 40), 1, 1);
      while (table.size > 0) table.forgetAt(1 + (((table.size * 31) % 1009) % table.size));
      return made() - before;
    };
    const rounds = [addAndForget(), addAndForget(), addAndForget()];
    expect(rounds[0]).toBeGreaterThan(3000 * 20);
    // One page of each capacity is kept, and the others are allocated again.
    for (const later of rounds.slice(1)) expect(later).toBeLessThan((rounds[0] ?? 0) / 1.2);
    expect(rounds[2]).toBe(rounds[1]);
  });

  it("is unchanged if the allocation of a record or a ring fails", () => {
    const { table, place } = tableOf(numbers(5));
    vi.stubGlobal("Float64Array", function failing() {
      throw new RangeError("Array buffer allocation failed");
    });
    expect(() => table.add("bob")).toThrow(StoreError);
    expect(() => {
      table.append(place, 100, 9, 9);
    }).toThrow(StoreError);
    expect(() => {
      table.keepUntil(place, 1);
    }).toThrow(StoreError);
    vi.unstubAllGlobals();
    expect([table.size, table.placeOf("bob")]).toEqual([1, NOWHERE]);
    expect(timestampsOf(table.logAt(place))).toEqual([4, 3, 2, 1, 0]);
    expect(table.add("bob")).toBe(2);
  });

  it("agrees with plain arrays after any sequence of adding, recording, refunding and forgetting", () => {
    const which = fc.nat(1000);
    const step = fc.oneof(
      { weight: 2, arbitrary: fc.record({ do: fc.constant("add" as const), cost: fc.constantFrom(1, 1, 6) }) },
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constant("append" as const),
          which,
          gap: fc.nat(3),
          cost: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 70 })),
        }),
      },
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constant("admitOne" as const),
          which,
          gap: fc.nat(3),
          limits: fc.array(fc.record({ maxCalls: fc.nat(9), periodMs: fc.integer({ min: 1, max: 12 }) }), {
            maxLength: 3,
          }),
        }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          do: fc.constant("removeTimestamps" as const),
          which,
          nth: fc.nat(5),
          most: fc.integer({ min: 1, max: 4 }),
        }),
      },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("forget" as const), which }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("clear" as const) }) },
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 12, max: 20 }),
        fc.array(step, { maxLength: 80, size: "max" }),
        (longestMs, steps) => {
          const table = new KeyTable(longestMs);
          // By place, from 1 on; newest first, expired ones included.
          let models: { key: string; timestamps: number[] }[] = [];
          let now = 0;
          let keys = 0;
          const append = (place: number, cost: number): void => {
            table.append(place, cost, now, now);
            models[place - 1]?.timestamps.unshift(...numbers(cost).map(() => now));
          };
          for (const chosen of steps) {
            if (chosen.do === "add") {
              const key = `key ${(keys += 1)}`;
              expect(table.add(key)).toBe(models.length + 1);
              models.push({ key, timestamps: [] });
              append(models.length, chosen.cost);
            } else if (chosen.do === "clear") {
              table.clear();
              models = [];
            } else if (models.length > 0) {
              const at = chosen.which % models.length;
              const { timestamps } = models[at] as (typeof models)[number];
              if (chosen.do === "append") {
                now += chosen.gap;
                append(at + 1, chosen.cost);
              } else if (chosen.do === "admitOne") {
                now += chosen.gap;
                const expected = allows(logOf(timestamps), chosen.limits, 1, now);
                expect(table.admitOne(at + 1, chosen.limits, now, now)).toBe(expected);
                if (expected) timestamps.unshift(now);
              } else if (chosen.do === "removeTimestamps") {
                const timestamp = timestamps[chosen.nth];
                if (timestamp === undefined || timestamp <= now - longestMs) continue;
                const taken = Math.min(chosen.most, timestamps.filter((other) => other === timestamp).length);
                timestamps.splice(timestamps.indexOf(timestamp), taken);
                const isLast = timestampsOf(table.logAt(at + 1)).length === taken;
                expect(table.removeTimestamps(at + 1, timestamp, chosen.most, MANY)).toBe(taken);
                if (isLast) remove(models, at);
              } else {
                table.forgetAt(at + 1);
                remove(models, at);
              }
            }
            expect(table.size).toBe(models.length);
            for (const [at, { key, timestamps }] of models.entries()) {
              const log = table.logAt(at + 1);
              expect([table.keyAt(at + 1), table.placeOf(key)]).toEqual([key, at + 1]);
              expect(table.newestAt(at + 1)).toBe(log.nthMostRecent(1));
              const held = timestampsOf(log);
              expect(held).toEqual(timestamps.slice(0, held.length));
              for (const instant of [now - longestMs, now - 1, now]) {
                expect(log.countAfter(instant)).toBe(timestamps.filter((timestamp) => timestamp > instant).length);
              }
            }
          }
        },
      ),
      { numRuns: 300 },
    );
  });
});

/** Replaces the removed element by the last one. */
function remove(list: unknown[], at: number): void {
  const last = list.pop();
  if (at < list.length) list[at] = last;
}

function logOf(timestamps: readonly number[]) {
  return {
    nthMostRecent: (n: number) => timestamps[n - 1] ?? -Infinity,
    countAfter: (instant: number) => timestamps.filter((timestamp) => timestamp > instant).length,
  };
}
