import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { PlaceIndex } from "../../src/store/place-index.js";

/** As many keys as are in one map, less a few. */
const NEARLY_FEW = 2 ** 15 - 10;

function filled(count: number): { index: PlaceIndex; model: Map<string, number> } {
  const index = new PlaceIndex();
  const model = new Map<string, number>();
  for (let at = 0; at < count; at += 1) {
    index.set(`user ${at}`, at);
    model.set(`user ${at}`, at);
  }
  return { index, model };
}

function expectSame(index: PlaceIndex, model: ReadonlyMap<string, number>, keys: Iterable<string>): void {
  const wrong = [...keys].filter((key) => index.get(key) !== model.get(key));
  expect(wrong).toEqual([]);
}

describe("an index of places", () => {
  it("agrees with a Map whatever is set and deleted as it grows from one map to many, and after", () => {
    const step = fc.record({
      sets: fc.boolean(),
      // Old keys and new ones, those at the front, which move first, more often.
      at: fc.oneof(fc.nat(200), fc.nat(NEARLY_FEW + 100)),
      place: fc.nat(),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 100, maxLength: 400 }), (steps) => {
        const { index, model } = filled(NEARLY_FEW);
        const write = (key: string, place: number | undefined): void => {
          if (place === undefined) {
            index.delete(key);
            model.delete(key);
          } else {
            index.set(key, place);
            model.set(key, place);
          }
        };
        for (let at = NEARLY_FEW; at < NEARLY_FEW + 20; at += 1) write(`user ${at}`, at);
        for (const { sets, at, place } of steps) {
          write(`user ${at}`, sets ? place : undefined);
          expect(index.get(`user ${at}`)).toBe(sets ? place : undefined);
        }
        expectSame(index, model, model.keys());
        for (let at = 0; at < NEARLY_FEW / 2 + 100; at += 1) write(`late ${at}`, at);
        expectSame(index, model, model.keys());
        for (let at = 0; at < NEARLY_FEW + 100; at += 3) write(`user ${at}`, undefined);
        expectSame(index, model, [...model.keys(), ...Array.from({ length: 300 }, (_, at) => `user ${at}`)]);
      }),
      { numRuns: 8 },
    );
  });

  it.each<[string, (at: number) => string]>([
    ["names", (at) => `user:${at}`],
    ["mail addresses", (at) => `customer.number.${String(at).padStart(7, "0")}@mail.example.com`],
    ["addresses", (at) => `203.0.${at >> 8}.${at & 255}`],
    ["networks", (at) => `2001:db8:${(at * 7919).toString(16)}:${(at % 77).toString(16)}::/64`],
    ["paths", (at) => `https://api.example.com/users/${String(at).padStart(6, "0")}/repositories?page=1&per_page=100`],
  ])("spreads many %s over many maps, and leaves the one", (_, keyOf) => {
    const index = new PlaceIndex();
    const written = vi.spyOn(Map.prototype, "set");
    const maps = (from: number, to: number): number[] => {
      written.mockClear();
      for (let at = from; at < to; at += 1) index.set(keyOf(at), at);
      const sizes = new Map<unknown, number>();
      const contexts = [...written.mock.contexts];
      written.mockClear();
      for (const map of contexts) sizes.set(map, (sizes.get(map) ?? 0) + 1);
      return [...sizes.values()];
    };
    expect(maps(0, 2 ** 15)).toEqual([2 ** 15]);
    // Each brings two of the one map along.
    const moving = maps(2 ** 15, 2 ** 15 + 1000);
    expect(moving.reduce((sum, size) => sum + size)).toBe(3000);
    expect(maps(2 ** 15 + 1000, 2 ** 15 + 2 ** 14).length).toBeGreaterThan(200);
    const later = maps(2 ** 15 + 2 ** 14, 2 ** 16);
    expect(later.reduce((sum, size) => sum + size)).toBe(2 ** 14);
    expect(later.length).toBeGreaterThan(200);
    // 64 of them fall to each map.
    expect(Math.max(...later)).toBeLessThan(64 * 4);
    written.mockRestore();
  });

  it("forgets all at once, and begins anew", () => {
    for (const count of [10, 40_000, 120_000]) {
      const { index } = filled(count);
      index.clear();
      expect([index.get("user 1"), index.get(`user ${count - 1}`)]).toEqual([undefined, undefined]);
      index.set("user 1", 7);
      expect(index.get("user 1")).toBe(7);
    }
  });

  it("takes any string for a key, once there are many as well", () => {
    const { index } = filled(60_000);
    const odd = ["", "\u0000", "__proto__", "constructor", "\ud800", "é", "日本", "k".repeat(100_000)];
    for (const [at, key] of odd.entries()) index.set(key, at);
    expect(odd.map((key) => index.get(key))).toEqual(odd.map((_, at) => at));
    for (const key of odd) index.delete(key);
    expect(odd.map((key) => index.get(key))).toEqual(odd.map(() => undefined));
  });
});
