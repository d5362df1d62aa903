import fc from "fast-check";
import { hashTagged } from "sluicegate/redis";
import { describe, expect, it } from "vitest";
import { hashedPart } from "../../../src/redis/redis-backend.js";

const texts = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: fc.constantFrom("{", "}", "%", "25", "7D", "a", ":") }),
);

describe("hashTagged", () => {
  it("makes another key of every pair", () => {
    fc.assert(
      fc.property(texts, texts, texts, texts, (tag, key, otherTag, otherKey) => {
        const isSame = tag === otherTag && key === otherKey;
        expect(hashTagged(tag, key) === hashTagged(otherTag, otherKey)).toBe(isSame);
      }),
    );
  });

  it("gives all keys of a tag one part that is hashed, and keys of other tags another", () => {
    fc.assert(
      fc.property(texts, texts, texts, texts, (tag, key, otherTag, otherKey) => {
        const [one, other] = [
          hashedPart(`p:s:${hashTagged(tag, key)}`),
          hashedPart(`p:t:${hashTagged(otherTag, otherKey)}`),
        ];
        expect(one === other).toBe(tag === otherTag);
      }),
    );
  });

  it.each([
    [undefined, "key", /^Expected `tag` to be a string, got `undefined`/],
    ["tag", 7, /^Expected `key` to be a string, got `7` \(number\)$/],
  ])("refuses %s and %s in words", (tag, key, message) => {
    expect(() => hashTagged(tag as never, key as never)).toThrow(message);
  });
});
