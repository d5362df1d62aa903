import { describe, expect, it } from "vitest";
import { expected } from "../../src/core/expected.js";

describe("the wording of a complaint", () => {
  it.each([
    [2.5, "got `2.5` (number)"],
    [NaN, "got `NaN` (number)"],
    ["3", "got `3` (string)"],
    [undefined, "got `undefined` (undefined)"],
    [null, "got `null` (null)"],
    [3n, "got `3` (bigint)"],
    [[1, 2], "got `1,2` (array)"],
    [{}, "got `[object Object]` (object)"],
    [Symbol("s"), "got `Symbol(s)` (symbol)"],
  ])("names the option, the rule, the value and its type: %o", (value, got) => {
    expect(expected("maxCalls", "a non-negative integer", value)).toBe(
      `Expected \`maxCalls\` to be a non-negative integer, ${got}`,
    );
  });

  it("stays on one short line, whatever the value", () => {
    const message = expected("key", "a string", `a\nb\u2028c\u0000${"x".repeat(1_000_000)}`);
    expect(message).toMatch(/^Expected `key` to be a string, got `a b c x+…` \(string\)$/);
    expect(message.length).toBeLessThan(120);
  });

  it("survives a value that cannot be shown", () => {
    const hostile = {
      toString() {
        throw new Error("no");
      },
    };
    expect(expected("cost", "a number", hostile)).toContain("got `[object]` (object)");
    expect(expected("cost", "a number", Object.create(null))).toContain("got `[object]` (object)");
  });
});
