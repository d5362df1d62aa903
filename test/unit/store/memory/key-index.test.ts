import { afterEach, describe, expect, it, vi } from "vitest";
import { KeyIndex } from "../../../../src/store/memory/key-index.js";

/** The most keys in one map. */
const FEW = 2 ** 14;

function add(index: KeyIndex, key: string, place: number): void {
  index.makeRoom();
  index.mapOf(key).set(key, place);
}

/** The number of keys in each map. */
function sizes(index: KeyIndex, keys: Iterable<string>): number[] {
  const counts = new Map<Map<string, number>, number>();
  for (const key of keys) counts.set(index.mapOf(key), (counts.get(index.mapOf(key)) ?? 0) + 1);
  return [...counts.values()];
}

afterEach(() => {
  vi.restoreAllMocks();
});

describe("a key index", () => {
  it("finds every key during and after the move from one map to many", () => {
    const index = new KeyIndex();
    const places = new Map<string, number>();
    for (let at = 0; at < 2 * FEW; at += 1) {
      add(index, `user ${at}`, at);
      places.set(`user ${at}`, at);
      if (at % 3 === 0) {
        index.mapOf(`user ${at / 3}`).delete(`user ${at / 3}`);
        places.delete(`user ${at / 3}`);
      }
    }
    const wrong = Array.from({ length: 2 * FEW }, (_, at) => `user ${at}`).filter(
      (key) => index.mapOf(key).get(key) !== places.get(key),
    );
    expect(wrong).toEqual([]);
    expect(sizes(index, places.keys()).length).toBe(256);
  });

  it("has one map for up to 16,384 keys, and 256 for more", () => {
    const index = new KeyIndex();
    const keys = Array.from({ length: FEW }, (_, at) => `user ${at}`);
    for (const [at, key] of keys.entries()) add(index, key, at);
    expect(sizes(index, keys)).toEqual([FEW]);
    index.makeRoom();
    expect(sizes(index, keys).length).toBe(256);
  });

  it.each<[string, (at: number) => string]>([
    ["names", (at) => `user:${at}`],
    ["mail addresses", (at) => `customer.number.${String(at).padStart(7, "0")}@mail.example.com`],
    ["addresses", (at) => `203.0.${at >> 8}.${at & 255}`],
    ["networks", (at) => `2001:db8:${(at * 7919).toString(16)}:${(at % 77).toString(16)}::/64`],
    ["paths", (at) => `https://api.example.com/users/${String(at).padStart(6, "0")}/repositories?page=1&per_page=100`],
    ["long keys", (at) => "x".repeat(900) + String(at) + "x".repeat(100)],
    // The polynomial of each is the same whatever it is multiplied by: 31 * "a" + "A" = 31 * "B" + "B".
    [
      "words of one Java hash",
      (at) => Array.from({ length: 16 }, (_, bit) => (at & (1 << bit) ? "aA" : "BB")).join(""),
    ],
    // Pairs of flipped bits that cancel each other in the low 16 bits, whatever the multiplier.
    [
      "words of flipped bits",
      (at) => Array.from({ length: 16 }, (_, bit) => (at & (1 << bit) ? "\u8061\u8061" : "aa")).join(""),
    ],
    // The low 16 bits of the polynomial of each are 0 for every odd multiplier.
    [
      "words of Thue and Morse",
      (at) => Array.from({ length: 12 }, (_, bit) => thueMorse(64, (at >> bit) & 1)).join(""),
    ],
  ])("spreads many %s over all maps", (_, keyOf) => {
    const index = new KeyIndex();
    const keys = [...new Set(Array.from({ length: 2 * FEW }, (_, at) => keyOf(at)))];
    for (let at = 0; at < FEW; at += 1) add(index, `other ${at}`, at);
    for (const [at, key] of keys.entries()) add(index, key, at);
    const mean = keys.length / 256;
    expect(sizes(index, keys).length).toBeGreaterThan(mean > 10 ? 250 : 200);
    expect(Math.max(...sizes(index, keys))).toBeLessThan(mean + 8 * Math.sqrt(mean));
  });

  it("spreads keys differently in each instance, so that an attacker cannot prepare keys for one map", () => {
    const [one, other] = [new KeyIndex(), new KeyIndex()];
    const keys = Array.from({ length: 2 * FEW }, (_, at) => `user ${at}`);
    for (const index of [one, other]) for (const [at, key] of keys.entries()) add(index, key, at);
    const together = one.mapOf("user 0");
    const neighbours = keys.filter((key) => one.mapOf(key) === together);
    expect(neighbours.length).toBeGreaterThan(60);
    expect(sizes(other, neighbours).length).toBeGreaterThan(40);
  });

  it("keeps all keys in one map if the move to many fails, and moves them at the next key", () => {
    const index = new KeyIndex();
    const keys = Array.from({ length: FEW }, (_, at) => `user ${at}`);
    for (const [at, key] of keys.entries()) add(index, key, at);
    const overflow = new RangeError("Maximum call stack size exceeded");
    const set = vi.spyOn(Map.prototype, "set").mockImplementation(() => {
      throw overflow;
    });
    expect(() => {
      index.makeRoom();
    }).toThrow(overflow);
    set.mockRestore();
    expect(keys.filter((key, at) => index.mapOf(key).get(key) !== at)).toEqual([]);
    index.makeRoom();
    expect(sizes(index, keys).length).toBe(256);
    expect(keys.filter((key, at) => index.mapOf(key).get(key) !== at)).toEqual([]);
  });

  it("accepts any string as a key, with many maps", () => {
    const index = new KeyIndex();
    for (let at = 0; at < 2 * FEW; at += 1) add(index, `user ${at}`, at);
    const odd = ["", "\u0000", "__proto__", "constructor", "\ud800", "é", "日本", "k".repeat(100_000)];
    for (const [at, key] of odd.entries()) add(index, key, at);
    expect(odd.map((key) => index.mapOf(key).get(key))).toEqual(odd.map((_, at) => at));
  });
});

/** The characters A and B in the order of Thue and Morse, or in the opposite one. */
function thueMorse(length: number, flip: number): string {
  return Array.from({ length }, (_, at) => ((parity(at) ^ flip) === 0 ? "A" : "B")).join("");
}

function parity(value: number): number {
  let bits = 0;
  for (let rest = value; rest > 0; rest >>= 1) bits ^= rest & 1;
  return bits;
}
