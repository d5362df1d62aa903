import { describe, expect, it, vi } from "vitest";
import { NOWHERE } from "../../src/core/timestamp-logs.js";
import type { Limit } from "../../src/index.js";
import { Hand } from "../../src/store/hand.js";
import { LogTable } from "../../src/store/log-table.js";

const PERIOD = 1000;
const limits = (maxCalls: number): Limit[] => [{ maxCalls, periodMs: PERIOD }];

/** A full store of one table, the hand at its first key, with as many live calls for each key as the list says. */
function fullStore(calls: readonly number[], asked = limits(5)) {
  const hand = new Hand(calls.length, true);
  const table = new LogTable(Math.max(...asked.map(({ periodMs }) => periodMs)), hand.census);
  hand.add(table);
  table.limits = asked;
  for (const [at, cost] of calls.entries()) {
    // A key of 0 live calls has one that is dead.
    table.record(`key ${at}`, NOWHERE, Math.max(1, cost), cost === 0 ? -PERIOD : 0, -PERIOD);
  }
  const freed = (): number[] => calls.flatMap((_, at) => (table.placeOf(`key ${at}`) === NOWHERE ? [at] : []));
  return { hand, table, freed };
}

const many = (length: number, calls: number): number[] => Array.from({ length }, () => calls);

describe("the hand, looking for room", () => {
  it("does nothing where there is some", () => {
    const { hand, freed } = fullStore([1, 1]);
    const roomy = new Hand(3, true);
    const table = new LogTable(PERIOD, roomy.census);
    roomy.add(table);
    table.record("ada", NOWHERE, 1, 0, 0);
    expect(roomy.makeRoom(0)).toBe(0);
    expect(table.size).toBe(1);
    expect([hand.evictions, freed()]).toEqual([0, []]);
  });

  it("frees the first idle key of 32, and loses nothing", () => {
    const { hand, freed } = fullStore([...many(31, 1), 0, 0]);
    expect(hand.findRoom(1, 0).wait).toBe(0);
    expect(freed()).toEqual([]);
    expect(hand.makeRoom(0)).toBe(0);
    expect(freed()).toEqual([31]);
    expect(hand.evictions).toBe(0);
  });

  it("does not look at a 33rd", () => {
    const { hand, freed } = fullStore([...many(32, 1), 0]);
    expect(hand.makeRoom(0)).toBe(0);
    expect(freed()).toEqual([0]);
    expect(hand.evictions).toBe(1);
  });

  it("else frees the key with the fewest live calls of the first eight that have calls left", () => {
    const { hand, freed } = fullStore([5, 4, 3, 4, 5, 3, 2, 4, 4, 2, 1, 4]);
    //                                 -  1  2  3  -  4  5  6  7  8  9 : the ninth has fewer still, and is not compared
    expect(hand.makeRoom(0)).toBe(0);
    expect(freed()).toEqual([6]);
    expect(hand.evictions).toBe(1);
  });

  it("compares the eighth as well", () => {
    const { hand, freed } = fullStore([4, 4, 4, 4, 4, 4, 4, 3, 2]);
    hand.makeRoom(0);
    expect(freed()).toEqual([7]);
  });

  it("counts live calls in the longest period, and asks every layer whether calls are left", () => {
    const layers = [
      { maxCalls: 2, periodMs: 10 },
      { maxCalls: 9, periodMs: PERIOD },
    ];
    const { hand, table, freed } = fullStore([1, 1, 1], layers);
    // At 100 the short layer has forgotten all; the long one remembers more of key 0 and key 1.
    table.record("key 0", table.placeOf("key 0"), 2, 50, 50);
    table.record("key 1", table.placeOf("key 1"), 1, 50, 50);
    table.record("key 2", table.placeOf("key 2"), 0, 50, 50);
    hand.makeRoom(100);
    expect(freed()).toEqual([2]);

    const standing = fullStore([2, 1], layers);
    standing.hand.makeRoom(5);
    expect(standing.freed()).toEqual([1]);
  });

  it("refuses where all 32 stand at their limit, until the first of them has a call expire", () => {
    const hand = new Hand(40, true);
    const table = new LogTable(PERIOD, hand.census);
    hand.add(table);
    table.limits = limits(5);
    // The seventh is the oldest of those looked at; the 33rd is older, and not seen.
    for (let at = 0; at < 40; at += 1) {
      table.record(`key ${at}`, NOWHERE, 5, at === 6 ? -300 : at === 32 ? -900 : 0, -PERIOD);
    }
    expect(hand.findRoom(1, 0).wait).toBe(700);
    expect(hand.makeRoom(0)).toBe(700);
    expect(table.size).toBe(40);
  });

  it("moves on past keys that all stand at their limit, 32 at a time, and not by asking what it would do", () => {
    const refusals = (keysAtLimit: number): number => {
      const { hand, freed } = fullStore([...many(keysAtLimit, 5), 1]);
      expect(hand.findRoom(1, 0).wait).toBe(PERIOD);
      let refused = 0;
      while (refused < 100 && hand.makeRoom(0) > 0) refused += 1;
      expect(freed()).toEqual([keysAtLimit]);
      return refused;
    };
    expect([refusals(32), refusals(63), refusals(64), refusals(95), refusals(96)]).toEqual([1, 1, 2, 2, 3]);
  });

  it("stands behind the last key it looked at when it has freed one", () => {
    const { hand, table, freed } = fullStore(many(64, 2));
    hand.makeRoom(0);
    table.record("newcomer", NOWHERE, 2, 0, 0);
    hand.makeRoom(0);
    expect(freed()).toEqual([0, 32]);
  });

  it("finds room for several, and frees those whose place another has taken over meanwhile", () => {
    const { hand, table, freed } = fullStore([2, 1, 2, 1]);
    const room = hand.findRoom(4, 0);
    expect([room.places, freed()]).toEqual([4, []]);
    hand.takeRoom(room);
    expect([table.size, hand.evictions]).toEqual([0, 4]);
    expect(freed()).toEqual([0, 1, 2, 3]);
  });

  it("goes on from table to table, over those that are empty", () => {
    const hand = new Hand(3, true);
    const tables = Array.from({ length: 5 }, () => {
      const table = new LogTable(PERIOD, hand.census);
      table.limits = limits(1);
      hand.add(table);
      return table;
    });
    tables[1]!.record("a", NOWHERE, 1, 0, 0);
    tables[3]!.record("b", NOWHERE, 1, 0, 0);
    tables[4]!.record("c", NOWHERE, 1, -400, -PERIOD);
    expect(hand.makeRoom(0)).toBe(PERIOD - 400);
    expect(hand.makeRoom(600)).toBe(0);
    expect(tables.map(({ size }) => size)).toEqual([0, 1, 0, 1, 0]);
    tables[1]!.clear();
    expect(hand.size).toBe(1);
  });
});

describe("the hand, sweeping", () => {
  it("looks at two keys at a time, and at those that take the place of the freed", () => {
    const { hand, table, freed } = fullStore([1, 0, 0, 0, 0, 1]);
    hand.sweep(0);
    expect(freed()).toEqual([1]);
    hand.sweep(0);
    expect(freed()).toEqual([1, 2]);
    for (let admissions = 0; admissions < 3; admissions += 1) hand.sweep(0);
    expect(freed()).toEqual([1, 2, 3, 4]);
    expect(table.size).toBe(2);
    expect(hand.evictions).toBe(0);
  });

  it("rests once it has passed all keys, until the first of them is idle", () => {
    const { hand, table, freed } = fullStore([1, 1]);
    table.record("key 1", table.placeOf("key 1"), 1, 300, 0);
    const looked = vi.spyOn(table, "idleAfter");
    hand.sweep(300);
    expect(looked).toHaveBeenCalledTimes(2);
    hand.sweep(PERIOD - 1);
    expect([looked.mock.calls.length, freed()]).toEqual([2, []]);
    hand.sweep(PERIOD);
    expect(freed()).toEqual([0]);
    hand.sweep(PERIOD + 299);
    expect(freed()).toEqual([0]);
    hand.sweep(PERIOD + 300);
    expect(freed()).toEqual([0, 1]);
  });

  it("rests no longer than the shortest period, in which a key of another space may have come and gone", () => {
    const { hand, table } = fullStore([1]);
    const short = new LogTable(10, hand.census);
    hand.sweep(0);
    hand.add(short);
    short.record("early", NOWHERE, 1, 0, 0);
    hand.sweep(10);
    expect(short.size).toBe(0);
    hand.sweep(10);
    short.record("late", NOWHERE, 1, 11, 11);
    hand.sweep(19);
    expect(short.size).toBe(1);
    hand.sweep(21);
    expect([short.size, table.size]).toEqual([0, 1]);
  });

  it("does not rest on keys that it left out to find room", () => {
    const { hand, table } = fullStore([1, 1, 1, 1, 1]);
    hand.sweep(0);
    table.record("key 4", table.placeOf("key 4"), 1, 0, 0);
    hand.moveOn({ places: 0, wait: 0, victims: [], next: { table: 0, place: 5 } });
    const looked = vi.spyOn(table, "idleAfter");
    for (let admissions = 0; admissions < 3; admissions += 1) hand.sweep(0);
    expect(new Set(looked.mock.calls.map(([place]) => place))).toEqual(new Set([1, 2, 3, 4, 5]));
  });

  it("has nothing to do in an empty store", () => {
    const hand = new Hand(1, true);
    hand.sweep(0);
    hand.add(new LogTable(PERIOD, hand.census));
    hand.sweep(0);
    expect(hand.size).toBe(0);
  });
});
