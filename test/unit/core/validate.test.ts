import { describe, expect, it } from "vitest";
import {
  argumentError,
  assertFraction,
  parseOptions,
  memberOf,
  assertOptionalFunction,
  ownCopy,
} from "../../../src/core/validate.js";
import { coded } from "../../support/coded.js";

describe("typeError", () => {
  it("leaves no rejection unhandled of a promise in place of the value", async () => {
    const rejections: unknown[] = [];
    const onRejection = (error: unknown): number => rejections.push(error);
    process.on("unhandledRejection", onRejection);
    expect(() => assertFraction("load", Promise.reject(new Error("late")), true)).toThrow(TypeError);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("unhandledRejection", onRejection);
    expect(rejections).toEqual([]);
  });
});

describe("argumentError", () => {
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
  ])("names the option, the rule, the value and its type for %o", (value, got) => {
    expect(argumentError("maxCalls", "a non-negative integer", value)).toBe(
      `Expected \`maxCalls\` to be a non-negative integer, ${got}`,
    );
  });

  it("is one short line for a long value with line breaks", () => {
    const message = argumentError("key", "a string", `a\nb\u2028c\u0000${"x".repeat(1_000_000)}`);
    expect(message).toMatch(/^Expected `key` to be a string, got `a b c x+…` \(string\)$/);
    expect(message.length).toBeLessThan(120);
  });

  it("contains a value of 60 characters in full, and truncates one of 61", () => {
    expect(argumentError("key", "short", "x".repeat(60))).toContain(`got \`${"x".repeat(60)}\` (string)`);
    expect(argumentError("key", "short", "x".repeat(61))).toContain(`got \`${"x".repeat(60)}…\` (string)`);
  });

  it("describes a value that cannot be converted to a string", () => {
    const hostile = {
      toString() {
        throw new Error("no");
      },
    };
    expect(argumentError("cost", "a number", hostile)).toContain("got `[object]` (object)");
    expect(argumentError("cost", "a number", Object.create(null))).toContain("got `[object]` (object)");
  });
});

describe("assertFraction", () => {
  it.each([Number.MIN_VALUE, 0.5, 1])("returns %d", (value) => {
    expect(assertFraction("share", value, false)).toBe(value);
    expect(assertFraction("share", value, true)).toBe(value);
  });

  it("accepts 0 only if it is allowed", () => {
    expect(assertFraction("share", 0, true)).toBe(0);
    expect(() => assertFraction("share", 0, false)).toThrow(
      coded(new RangeError("Expected `share` to be a fraction above 0, up to 1, got `0` (number)")),
    );
  });

  it.each([-0.1, 1.1, 85, NaN, Infinity, -Infinity])("throws a RangeError for %d", (value) => {
    const expected = coded(
      new RangeError(`Expected \`share\` to be a fraction from 0 to 1, got \`${String(value)}\` (number)`),
    );
    expect(() => assertFraction("share", value, true)).toThrow(expected);
    expect(() => assertFraction("share", value, false)).toThrow(RangeError);
  });

  it.each([undefined, null, "0.5", 1n, true])("throws a TypeError for %o", (value) => {
    expect(() => assertFraction("share", value, true)).toThrow(TypeError);
  });
});

describe("parseOptions, with the name of an option of another package", () => {
  const messageFor = (option: string, known: readonly string[], renamed?: Record<string, string>): string => {
    try {
      parseOptions("options", { [option]: 5 }, known, renamed);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  it.each([
    ["windowMs", ["maxCalls", "period"], "`period`, whose bare numbers are seconds"],
    ["duration", ["maxCalls", "period"], "`period`, whose bare numbers are seconds"],
    ["max", ["maxCalls", "period"], "`maxCalls`"],
    ["points", ["baseMaxCalls", "period"], "`baseMaxCalls`"],
    ["limit", ["limits", "name"], "`maxCalls` of the `limits`"],
    ["max", ["limiter", "key"], "`maxCalls` of the `limiter`"],
    ["max", ["limiter", "key", "maxCalls"], "`maxCalls` of the `limiter`"],
    ["timeWindow", ["limiter", "key"], "`period` of the `limiter`, whose bare numbers are seconds"],
    ["keyGenerator", ["limiter", "key"], "`key`"],
    ["handler", ["limiter", "onRefused"], "`onRefused`"],
    ["identifier", ["limiter", "key"], "`name` of the `limiter`"],
  ])("suggests the name in this package for %s beside %j", (option, known, hint) => {
    const renamed = { keyGenerator: "key", handler: "onRefused", identifier: "name" };
    expect(messageFor(option, known, renamed)).toContain(
      `\` to be ${hint}, or one of the options ${known.join(", ")}, got`,
    );
  });

  it("suggests nothing if this package has no such option, or no package has", () => {
    for (const option of ["max", "keyGenerator", "maxcalls", "constructor", "toString"]) {
      expect(messageFor(option, ["cost"])).toBe(
        `Expected \`${option}\` to be one of the options cost, got \`5\` (number)`,
      );
    }
  });
});

describe("memberOf", () => {
  it("returns members of the object and of its class, and none of Object.prototype", () => {
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

  it.each([undefined, null, "text", 5])("returns undefined for %o", (value) => {
    expect(memberOf(value, "length")).toBeUndefined();
  });
});

describe("assertOptionalFunction", () => {
  it("accepts a function or undefined, and throws a TypeError for null", () => {
    expect(() => assertOptionalFunction("load", undefined)).not.toThrow();
    expect(() => assertOptionalFunction("load", () => 1)).not.toThrow();
    expect(() => assertOptionalFunction("load", null)).toThrow(
      coded(new TypeError("Expected `load` to be a function, got `null` (null)")),
    );
  });
});
