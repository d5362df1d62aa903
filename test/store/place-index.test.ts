import fc from "fast-check";
import { describe, expect, it } from "vitest";
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
