import { describe, expect, it, vi } from "vitest";
import type { Limit } from "../../../../src/index.js";
import { Evictor } from "../../../../src/store/memory/evictor.js";
import { KeyTable, NOWHERE } from "../../../../src/store/memory/key-table.js";

const PERIOD = 1000;
const limitsOf = (maxCalls: number): Limit[] => [{ maxCalls, periodMs: PERIOD }];
const many = (length: number, calls: number): number[] => Array.from({ length }, () => calls);

function record(table: KeyTable, key: string, cost: number, timestamp: number = 0): void {
  const place = table.placeOf(key) === NOWHERE ? table.add(key) : table.placeOf(key);
  table.append(place, cost, timestamp, timestamp);
}

/** A full store of one table, with a key for each number of calls. A key of 0 has one call, which has expired. */
function fullStore(calls: readonly number[], limits = limitsOf(5)) {
  const evictor = new Evictor(calls.length, true);
  const table = new KeyTable(Math.max(...limits.map(({ periodMs }) => periodMs)));
  evictor.add(table);
  table.limits = limits;
  for (const [at, cost] of calls.entries()) record(table, `key ${at}`, Math.max(1, cost), cost === 0 ? -PERIOD : 0);
  const forgotten = (): number[] => calls.flatMap((_, at) => (table.placeOf(`key ${at}`) === NOWHERE ? [at] : []));
  return { evictor, table, forgotten };
}

/** A store of several tables, each with keys that are at their limit of 1 call, or have calls left. */
function sharedStore(maxKeys: number, names: readonly string[], evicts = true) {
  const evictor = new Evictor(maxKeys, evicts);
  const tables = names.map(() => {
    const table = new KeyTable(PERIOD);
    table.limits = limitsOf(2);
    evictor.add(table);
    return table;
  });
  /** Adds keys while there is room, and returns how many were added. */
  const fill = (at: number, keys: number, cost: number): number => {
    const table = tables[at]!;
    let added = 0;
    for (let key = 0; key < keys; key += 1) {
      if (evictor.makeRoom(table, 0) > 0) continue;
      record(table, `${names[at]} ${table.size} ${key} ${cost}`, cost);
      added += 1;
    }
    return added;
  };
  return { evictor, tables, fill, sizes: () => tables.map(({ size }) => size) };
}

describe("the evictor, in making room", () => {
  it("forgets no key while there is room", () => {
    const { evictor, table, forgotten } = fullStore([1, 1]);
    table.forgetAt(2);
    expect(evictor.makeRoom(table, 0)).toBe(0);
    expect([evictor.evictions, evictor.size, forgotten()]).toEqual([0, 1, [1]]);
  });

  it("forgets the first idle key among 32, which is not an eviction", () => {
    const { evictor, table, forgotten } = fullStore([...many(31, 1), 0, 0]);
    expect(evictor.plan([table], 0).waitMs).toBe(0);
    expect(forgotten()).toEqual([]);
    expect(evictor.makeRoom(table, 0)).toBe(0);
    expect(forgotten()).toEqual([31]);
    expect(evictor.evictions).toBe(0);
  });

  it("does not visit a 33rd key", () => {
    const { evictor, table, forgotten } = fullStore([...many(32, 1), 0]);
    expect(evictor.makeRoom(table, 0)).toBe(0);
    expect(forgotten()).toEqual([0]);
    expect(evictor.evictions).toBe(1);
  });

  it("evicts the key with the fewest unexpired calls among the first eight below their limit, if none is idle", () => {
    const { evictor, table, forgotten } = fullStore([5, 4, 3, 4, 5, 3, 2, 4, 4, 2, 1, 4]);
    //                                               -  1  2  3  -  4  5  6  7  8  9 : the ninth has fewer, and is not compared
    expect(evictor.makeRoom(table, 0)).toBe(0);
    expect(forgotten()).toEqual([6]);
    expect(evictor.evictions).toBe(1);
  });

  it("compares the eighth key below its limit", () => {
    const { evictor, table, forgotten } = fullStore([4, 4, 4, 4, 4, 4, 4, 3, 2]);
    evictor.makeRoom(table, 0);
    expect(forgotten()).toEqual([7]);
  });

  it("compares calls in the longest period, and evicts no key that one layer would refuse", () => {
    const layers = [
      { maxCalls: 2, periodMs: 10 },
      { maxCalls: 9, periodMs: PERIOD },
    ];
    const { evictor, table, forgotten } = fullStore([1, 1, 1], layers);
    // At 100 the calls of the short layer have expired; the long layer still has more calls of key 0 and key 1.
    record(table, "key 0", 2, 50);
    record(table, "key 1", 1, 50);
    evictor.makeRoom(table, 100);
    expect(forgotten()).toEqual([2]);

    const atLimit = fullStore([2, 1], layers);
    atLimit.evictor.makeRoom(atLimit.table, 5);
    expect(atLimit.forgotten()).toEqual([1]);
  });

  it("evicts no key before the instant of its note", () => {
    const { evictor, table, forgotten } = fullStore([1, 2, 1]);
    table.keepUntil(1, 300);
    table.keepUntil(3, 200);
    evictor.makeRoom(table, 0);
    expect(forgotten()).toEqual([1]);
    record(table, "key 1", 5);
    expect(evictor.makeRoom(table, 0)).toBe(200);
    expect(evictor.makeRoom(table, 200)).toBe(0);
    expect(forgotten()).toEqual([2]);
  });

  it("refuses while all 32 keys are at their limit, until the first of them has calls left", () => {
    const evictor = new Evictor(40, true);
    const table = new KeyTable(PERIOD);
    evictor.add(table);
    table.limits = limitsOf(5);
    // Of those visited the seventh is the oldest; the 33rd is older, and is not visited.
    for (let at = 0; at < 40; at += 1) record(table, `key ${at}`, 5, at === 6 ? -300 : at === 32 ? -900 : 0);
    expect(evictor.plan([table], 0).waitMs).toBe(700);
    expect(evictor.makeRoom(table, 0)).toBe(700);
    expect(table.size).toBe(40);
  });

  it("visits the next 32 keys after each refusal, and not after a plan", () => {
    const refusals = (keysAtLimit: number): number => {
      const { evictor, table, forgotten } = fullStore([...many(keysAtLimit, 5), 1]);
      expect(evictor.plan([table], 0).waitMs).toBe(PERIOD);
      expect(evictor.plan([table], 0).waitMs).toBe(PERIOD);
      let refused = 0;
      while (refused < 100 && evictor.makeRoom(table, 0) > 0) refused += 1;
      expect(forgotten()).toEqual([keysAtLimit]);
      return refused;
    };
    expect([32, 63, 64, 95, 96].map(refusals)).toEqual([1, 1, 2, 2, 3]);
  });

  it("continues after the last key that it visited", () => {
    const { evictor, table, forgotten } = fullStore(many(64, 2));
    evictor.makeRoom(table, 0);
    record(table, "new", 2);
    evictor.makeRoom(table, 0);
    expect(forgotten()).toEqual([0, 32]);
  });

  it("forgets idle keys only, if the store denies new keys", () => {
    const { evictor, tables, fill } = sharedStore(3, ["a"], false);
    expect(fill(0, 3, 1)).toBe(3);
    expect(evictor.makeRoom(tables[0]!, 400)).toBe(600);
    expect(evictor.makeRoom(tables[0]!, PERIOD)).toBe(0);
    expect(evictor.size).toBe(2);
  });

  it("continues in the next table, and skips empty ones", () => {
    const { evictor, tables, sizes } = sharedStore(3, ["a", "b", "c", "d", "e"]);
    record(tables[1]!, "b", 2);
    record(tables[3]!, "d", 2);
    record(tables[4]!, "e", 2, -400);
    expect(evictor.makeRoom(tables[0]!, 0)).toBe(PERIOD - 400);
    expect(evictor.makeRoom(tables[0]!, 600)).toBe(0);
    expect(sizes()).toEqual([0, 1, 0, 1, 0]);
  });

  it("plans room for new keys of several tables, and forgets all victims at once", () => {
    const { evictor, tables, fill, sizes } = sharedStore(4, ["a", "b", "c"]);
    fill(0, 4, 1);
    const plan = evictor.plan([tables[1]!, tables[2]!], 0);
    expect([plan.roomFor, sizes()]).toEqual([2, [4, 0, 0]]);
    evictor.carryOut(plan);
    expect([sizes(), evictor.evictions]).toEqual([[2, 0, 0], 2]);
  });

  it("plans room for as many keys as there are victims, and excludes the keys of the same call", () => {
    const { evictor, tables, fill } = sharedStore(3, ["a", "b", "c"]);
    fill(0, 2, 2);
    fill(1, 1, 1);
    expect(evictor.plan([tables[0]!, tables[2]!], 0)).toMatchObject({ roomFor: 1, waitMs: PERIOD });
    const excluded = [{ table: tables[1]!, place: 1 }];
    expect(evictor.plan([tables[2]!], 0, excluded)).toMatchObject({ roomFor: 0, waitMs: PERIOD });
  });

  it("excludes no key of another table at the same place", () => {
    const { evictor, tables } = sharedStore(2, ["a", "b", "c"]);
    record(tables[0]!, "a", 1);
    record(tables[1]!, "b", 1);
    const excluded = [{ table: tables[0]!, place: 1 }];
    const { victims } = evictor.plan([tables[2]!], 0, excluded);
    expect(victims.map(({ table }) => tables.indexOf(table))).toEqual([1]);
  });

  it("forgets several victims at the end of one table", () => {
    const { evictor, tables, fill, sizes } = sharedStore(2, ["a", "b", "c"]);
    fill(0, 2, 1);
    const keys = [1, 2].map((place) => tables[0]!.keyAt(place));
    evictor.carryOut(evictor.plan([tables[1]!, tables[2]!], 0));
    expect(sizes()).toEqual([0, 0, 0]);
    expect(keys.map((key) => tables[0]!.placeOf(key))).toEqual([NOWHERE, NOWHERE]);
  });
});

describe("the evictor, in sharing the cap", () => {
  it("gives all keys to the only table", () => {
    const { fill } = sharedStore(10, ["a"]);
    expect(fill(0, 11, 2)).toBe(10);
  });

  it("reserves half of the cap for the tables in equal parts", () => {
    const { fill, sizes } = sharedStore(100, ["a", "b"]);
    expect(fill(0, 1000, 2)).toBe(75);
    expect(fill(1, 1000, 2)).toBe(25);
    expect(sizes()).toEqual([75, 25]);
  });

  it("gives the common half to any table", () => {
    const { fill, sizes } = sharedStore(100, ["a", "b"]);
    fill(0, 45, 2);
    fill(1, 1000, 2);
    fill(0, 1000, 2);
    expect(sizes()).toEqual([45, 55]);
  });

  it("gives a table no more than its reserve while the common half is in use", () => {
    const { fill, sizes } = sharedStore(60, ["a", "b", "c"]);
    fill(0, 1000, 2);
    fill(1, 1000, 2);
    expect(sizes()).toEqual([40, 10, 0]);
  });

  it("evicts a key of the same table within its reserve if the search finds it first", () => {
    const { evictor, tables, fill, sizes } = sharedStore(10, ["a", "b"]);
    fill(0, 2, 1);
    fill(1, 8, 1);
    evictor.makeRoom(tables[0]!, 0);
    expect(sizes()).toEqual([1, 8]);
  });

  it("evicts keys of the same table and of tables above their reserve, and no reserved keys of others", () => {
    const { evictor, fill, sizes } = sharedStore(100, ["a", "b", "c", "d"]);
    fill(1, 12, 1);
    fill(2, 64, 2);
    fill(3, 12, 2);
    // The rest is reserved for the first table.
    expect(fill(0, 12, 2)).toBe(12);
    // No key of the second table is evicted for it, although all have calls left.
    expect(fill(0, 100, 2)).toBe(0);
    expect(sizes()).toEqual([12, 12, 64, 12]);
    expect(evictor.evictions).toBe(0);
    // The second table can replace its own.
    expect(fill(1, 100, 2)).toBe(12);
    expect([sizes(), evictor.evictions]).toEqual([[12, 12, 64, 12], 12]);
  });

  it("leaves a table its reserve also when several keys are added at once", () => {
    const { evictor, tables, fill, sizes } = sharedStore(12, ["a", "b", "c"]);
    fill(0, 3, 1);
    fill(1, 5, 2);
    fill(2, 4, 2);
    expect(sizes()).toEqual([3, 5, 4]);
    // The first table has one key above its reserve, which makes room for one key.
    expect(evictor.plan([tables[1]!, tables[2]!], 0)).toMatchObject({ roomFor: 1, waitMs: PERIOD });
  });

  it("never exceeds the cap, even after a table is added to a full store", () => {
    const { evictor, tables, fill } = sharedStore(10, ["a"]);
    fill(0, 10, 1);
    const late = new KeyTable(PERIOD);
    evictor.add(late);
    for (let key = 0; key < 20; key += 1) {
      if (evictor.makeRoom(late, 0) === 0) record(late, `late ${key}`, 2);
      expect(evictor.size).toBeLessThanOrEqual(10);
    }
    expect([tables[0]!.size, late.size]).toEqual([2, 8]);
    const other = sharedStore(10, ["a"]);
    other.fill(0, 10, 2);
    const later = new KeyTable(PERIOD);
    other.evictor.add(later);
    expect(other.evictor.makeRoom(later, 0)).toBe(PERIOD);
  });

  it("frees the reserve of a table that is removed", () => {
    const { evictor, tables, fill } = sharedStore(100, ["a", "b"]);
    fill(0, 100, 2);
    evictor.remove(tables[1]!);
    expect(fill(0, 100, 2)).toBe(25);
    evictor.remove(tables[0]!);
    expect(evictor.size).toBe(0);
    evictor.remove(tables[0]!);
    evictor.sweep(5);
  });

  it.each([
    { removed: "an earlier table", at: 0, sweeps: 1, next: [1, 8] },
    { removed: "its own table", at: 1, sweeps: 1, next: [2, 1] },
    { removed: "a later table", at: 3, sweeps: 1, next: [1, 8] },
    { removed: "its own table, the last one,", at: 3, sweeps: 3, next: [0, 1] },
  ])("continues the search and the sweep at the same or the next key after $removed is removed", (given) => {
    const { evictor, tables, sizes } = sharedStore(32, ["a", "b", "c", "d"]);
    const keys = [16, 16, 16, 30];
    for (const [at, table] of tables.entries()) {
      for (let key = 0; key < keys[at]!; key += 1) record(table, `${at} ${key}`, 1);
    }
    for (let sweeps = 0; sweeps < given.sweeps; sweeps += 1) evictor.sweep(10);
    expect(evictor.remove(tables[given.at]!)).toBe(true);
    expect(evictor.remove(tables[given.at]!)).toBe(false);
    const { victims } = evictor.plan([tables[given.at === 0 ? 3 : 0]!], 10);
    expect(victims.map(({ table, place }) => [tables.indexOf(table), place])).toEqual([given.next]);
    for (let sweeps = 0; sweeps < 6; sweeps += 1) evictor.sweep(PERIOD);
    expect(sizes()).toEqual(keys.map((size, at) => (at === given.at ? size : 0)));
  });
});

describe("the evictor, in sweeping", () => {
  it("visits 24 keys, including those that move to the place of a forgotten one", () => {
    const { evictor, table, forgotten } = fullStore([...many(10, 1), ...many(50, 0)]);
    evictor.sweep(0);
    expect(forgotten().length).toBe(14);
    evictor.sweep(0);
    expect(forgotten().length).toBe(38);
    evictor.sweep(0);
    expect([table.size, evictor.evictions]).toEqual([10, 0]);
  });

  it("sleeps after it has visited all keys, until the first of them is idle", () => {
    const { evictor, table, forgotten } = fullStore([1, 1]);
    record(table, "key 1", 1, 300);
    const visited = vi.spyOn(table, "newestAt");
    evictor.sweep(300);
    expect(visited).toHaveBeenCalledTimes(2);
    evictor.sweep(PERIOD - 1);
    expect([visited.mock.calls.length, forgotten()]).toEqual([2, []]);
    evictor.sweep(PERIOD);
    expect(forgotten()).toEqual([0]);
    evictor.sweep(PERIOD + 299);
    expect(forgotten()).toEqual([0]);
    evictor.sweep(PERIOD + 300);
    expect(forgotten()).toEqual([0, 1]);
  });

  it("sleeps no longer than the shortest period, in which a new key of another table may become idle", () => {
    const { evictor, table } = fullStore([1]);
    const short = new KeyTable(10);
    evictor.sweep(0);
    evictor.add(short);
    record(short, "early", 1);
    evictor.sweep(10);
    expect(short.size).toBe(0);
    evictor.sweep(10);
    record(short, "late", 1, 11);
    evictor.sweep(19);
    expect(short.size).toBe(1);
    evictor.sweep(21);
    expect([short.size, table.size]).toEqual([0, 1]);
  });

  it("does not sleep before it has visited the keys that a search skipped", () => {
    const { evictor, table } = fullStore([...many(30, 1), 5, 5]);
    evictor.sweep(0);
    evictor.makeRoom(table, 0);
    const visited = vi.spyOn(table, "newestAt");
    for (let sweeps = 0; sweeps < 4; sweeps += 1) evictor.sweep(0);
    expect(new Set(visited.mock.calls.map(([place]) => place)).size).toBe(31);
    visited.mockClear();
    evictor.sweep(0);
    expect(visited).not.toHaveBeenCalled();
  });

  it("visits at most 24 empty tables", () => {
    const { evictor, tables } = sharedStore(10, Array.from({ length: 100 }, String));
    const size = vi.fn(() => 0);
    for (const table of tables) Object.defineProperty(table, "size", { get: size });
    evictor.sweep(0);
    expect(size.mock.calls.length).toBeLessThanOrEqual(24);
  });

  it("does nothing in an empty store", () => {
    const evictor = new Evictor(1, true);
    evictor.sweep(0);
    evictor.add(new KeyTable(PERIOD));
    evictor.sweep(0);
    expect(evictor.size).toBe(0);
  });
});
