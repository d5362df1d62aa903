import { describe, expect, it } from "vitest";
import { expected, fraction, optionalFunction } from "../../src/core/expected.js";

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

  it("shows a value of 60 characters whole, and cuts one of 61", () => {
    expect(expected("key", "short", "x".repeat(60))).toContain(`got \`${"x".repeat(60)}\` (string)`);
    expect(expected("key", "short", "x".repeat(61))).toContain(`got \`${"x".repeat(60)}…\` (string)`);
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

describe("a fraction", () => {
  it.each([Number.MIN_VALUE, 0.5, 1])("may be %d", (value) => {
    expect(fraction("share", value, false)).toBe(value);
    expect(fraction("share", value, true)).toBe(value);
  });

  it("may be 0 only where that is said", () => {
    expect(fraction("share", 0, true)).toBe(0);
    expect(() => fraction("share", 0, false)).toThrow(
      new RangeError("Expected `share` to be a fraction above 0, up to 1, got `0` (number)"),
    );
  });

  it.each([-0.1, 1.1, 85, NaN, Infinity, -Infinity])("of %d is a RangeError", (value) => {
    const complaint = new RangeError(
      `Expected \`share\` to be a fraction from 0 to 1, got \`${String(value)}\` (number)`,
    );
    expect(() => fraction("share", value, true)).toThrow(complaint);
    expect(() => fraction("share", value, false)).toThrow(RangeError);
  });

  it.each([undefined, null, "0.5", 1n, true])("of %o is a TypeError", (value) => {
    expect(() => fraction("share", value, true)).toThrow(TypeError);
  });
});

describe("a function that may be left out", () => {
  it("is a function or undefined", () => {
    expect(() => optionalFunction("load", undefined)).not.toThrow();
    expect(() => optionalFunction("load", () => 1)).not.toThrow();
    expect(() => optionalFunction("load", null)).toThrow(
      new TypeError("Expected `load` to be a function, got `null` (null)"),
    );
  });
});
