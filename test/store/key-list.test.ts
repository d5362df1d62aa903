import { describe, expect, it } from "vitest";
import { KeyList } from "../../src/store/key-list.js";

describe("a list of keys", () => {
  it("is an array, through page after page and back", () => {
    const list = new KeyList();
    const model: string[] = [];
    for (let at = 0; at < 10_000; at += 1) {
      list.push(`key ${at}`);
      model.push(`key ${at}`);
    }
    for (let at = 0; at < 10_000; at += 7) {
      list.set(at, `other ${at}`);
      model[at] = `other ${at}`;
    }
    expect(model.filter((key, at) => list.at(at) !== key)).toEqual([]);
    // Back and forth over the borders of pages.
    for (const [down, up] of [
      [2000, 0],
      [3905, 4000],
      [4095, 1],
      [4000, 0],
      [1, 1],
      [1, 0],
    ] as const) {
      for (let step = 0; step < down && model.length > 0; step += 1) expect(list.pop()).toBe(model.pop());
      for (let step = 0; step < up; step += 1) {
        list.push(`late ${step}`);
        model.push(`late ${step}`);
      }
      expect(model.filter((key, at) => list.at(at) !== key)).toEqual([]);
    }
  });

  it("is empty when it is cleared", () => {
    const list = new KeyList();
    for (let at = 0; at < 5000; at += 1) list.push("key");
    list.clear();
    list.push("first");
    expect(list.at(0)).toBe("first");
    expect(list.pop()).toBe("first");
  });
});
