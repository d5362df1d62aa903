import { describe, expect, it } from "vitest";
import {
  argumentError,
  assertFraction,
  parseOptions,
  memberOf,
  assertOptionalFunction,
  ownCopy,
} from "../../../src/core/validate.js";

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
    expect(argumentError("maxCalls", "a non-negative integer", value)).toBe(
      `Expected \`maxCalls\` to be a non-negative integer, ${got}`,
    );
  });

  it("stays on one short line, whatever the value", () => {
    const message = argumentError("key", "a string", `a\nb\u2028c\u0000${"x".repeat(1_000_000)}`);
    expect(message).toMatch(/^Expected `key` to be a string, got `a b c x+…` \(string\)$/);
    expect(message.length).toBeLessThan(120);
  });

  it("shows a value of 60 characters whole, and cuts one of 61", () => {
    expect(argumentError("key", "short", "x".repeat(60))).toContain(`got \`${"x".repeat(60)}\` (string)`);
    expect(argumentError("key", "short", "x".repeat(61))).toContain(`got \`${"x".repeat(60)}…\` (string)`);
  });

  it("survives a value that cannot be shown", () => {
    const hostile = {
      toString() {
        throw new Error("no");
      },
    };
    expect(argumentError("cost", "a number", hostile)).toContain("got `[object]` (object)");
    expect(argumentError("cost", "a number", Object.create(null))).toContain("got `[object]` (object)");
  });
});

describe("a fraction", () => {
  it.each([Number.MIN_VALUE, 0.5, 1])("may be %d", (value) => {
    expect(assertFraction("share", value, false)).toBe(value);
    expect(assertFraction("share", value, true)).toBe(value);
  });

  it("may be 0 only where that is said", () => {
    expect(assertFraction("share", 0, true)).toBe(0);
    expect(() => assertFraction("share", 0, false)).toThrow(
      new RangeError("Expected `share` to be a fraction above 0, up to 1, got `0` (number)"),
    );
  });

  it.each([-0.1, 1.1, 85, NaN, Infinity, -Infinity])("of %d is a RangeError", (value) => {
    const complaint = new RangeError(
      `Expected \`share\` to be a fraction from 0 to 1, got \`${String(value)}\` (number)`,
    );
    expect(() => assertFraction("share", value, true)).toThrow(complaint);
    expect(() => assertFraction("share", value, false)).toThrow(RangeError);
  });

  it.each([undefined, null, "0.5", 1n, true])("of %o is a TypeError", (value) => {
    expect(() => assertFraction("share", value, true)).toThrow(TypeError);
  });
});

describe("an option of another package", () => {
  const complaint = (option: string, known: readonly string[], renamed?: Record<string, string>): string => {
    try {
      parseOptions("options", { [option]: 5 }, known, renamed);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  it.each([
    ["windowMs", ["maxCalls", "period"], "; here it is `period`, whose bare numbers are seconds, got"],
    ["duration", ["maxCalls", "period"], "; here it is `period`, whose bare numbers are seconds, got"],
    ["max", ["maxCalls", "period"], "; here it is `maxCalls`, got"],
    ["points", ["baseMaxCalls", "period"], "; here it is `baseMaxCalls`, got"],
    ["limit", ["limits", "name"], "; here it is `maxCalls` of the `limits`, got"],
    ["max", ["limiter", "key"], "; here it is `maxCalls` of the `limiter`, got"],
    ["timeWindow", ["limiter", "key"], "; here it is `period` of the `limiter`, whose bare numbers are seconds, got"],
    ["keyGenerator", ["limiter", "key"], "; here it is `key`, got"],
    ["handler", ["limiter", "onRefused"], "; here it is `onRefused`, got"],
  ])("%s beside %j is answered with its name here", (option, known, hint) => {
    const renamed = { keyGenerator: "key", handler: "onRefused" };
    expect(complaint(option, known, renamed)).toContain(`to be one of the options ${known.join(", ")}${hint}`);
  });

  it("is answered with nothing where there is no such option, and so is one of no package", () => {
    for (const option of ["max", "keyGenerator", "maxcalls", "constructor", "toString"]) {
      expect(complaint(option, ["cost"])).toBe(
        `Expected \`${option}\` to be one of the options cost, got \`5\` (number)`,
      );
    }
  });
});

describe("a member of an object", () => {
  it("is its own or its class's, and of no prototype of all objects", () => {
    class Limiter {
      own = 1;
      get inherited(): number {
        return this.own + 1;
      }
    }
    const limiter = new Limiter();
    expect([memberOf(limiter, "own"), memberOf(limiter, "inherited"), memberOf(limiter, "toString")]).toEqual([
      1,
      2,
      undefined,
    ]);
    expect(
      memberOf(
        Object.assign(() => 1, { check: 3 }),
        "check",
      ),
    ).toBe(3);
    expect(memberOf(ownCopy({ check: 4 }), "check")).toBe(4);
  });

  it.each([undefined, null, "text", 5])("of %o is undefined", (value) => {
    expect(memberOf(value, "length")).toBeUndefined();
  });
});

describe("a function that may be left out", () => {
  it("is a function or undefined", () => {
    expect(() => assertOptionalFunction("load", undefined)).not.toThrow();
    expect(() => assertOptionalFunction("load", () => 1)).not.toThrow();
    expect(() => assertOptionalFunction("load", null)).toThrow(
      new TypeError("Expected `load` to be a function, got `null` (null)"),
    );
  });
});
