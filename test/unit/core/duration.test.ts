import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Duration, formatDuration, parseDuration, parsePeriod } from "../../../src/core/duration.js";
import { coded } from "../../support/coded.js";

describe("parseDuration", () => {
  it.each([
    ["500ms", 500],
    ["10s", 10_000],
    ["15m", 900_000],
    ["1h", 3_600_000],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
    ["10 s", 10_000],
    ["1.5 h", 5_400_000],
    ["2 w", 1_209_600_000],
    ["1.5h", 5_400_000],
    ["0.001s", 1],
    ["1.005s", 1005],
    ["10000000d", 8.64e14],
  ] satisfies [Duration, number][])("reads %s as %d ms", (text, ms) => {
    expect(parseDuration("timeout", text)).toBe(ms);
  });

  it.each([
    "",
    "10",
    "10  s",
    "10\ts",
    "10 ",
    "10s ",
    " 10s",
    "10S",
    "10y",
    "10 W",
    "10sx",
    "1h30m",
    "-1s",
    "+1s",
    "1e3ms",
    ".5s",
    "1.s",
    "0s",
    "0.5ms",
    "NaNs",
    "Infinitys",
  ])("throws a RangeError for %j", (text) => {
    expect(() => parseDuration("timeout", text)).toThrow(RangeError);
  });

  it("throws a RangeError for more than 10 million days", () => {
    expect(() => parseDuration("timeout", "10000001d")).toThrow(RangeError);
    expect(() => parseDuration("timeout", `${"9".repeat(400)}d`)).toThrow(RangeError);
  });

  it.each([undefined, null, 10, 10n, {}, ["1s"], true])("throws a TypeError for %o, which is not a string", (value) => {
    expect(() => parseDuration("timeout", value)).toThrow(TypeError);
  });

  it("accepts 0 ms only if the minimum is 0", () => {
    expect(parseDuration("duration", "0ms", 0)).toBe(0);
    expect(() => parseDuration("duration", "0ms")).toThrow(
      coded(
        new RangeError(
          'Expected `duration` to be a duration with its unit, such as "500ms", "10s", "15m", "1h", "7d" or "1w", of whole milliseconds up to 10 million days, got `0ms` (string)',
        ),
      ),
    );
  });

  it("reads every whole number of milliseconds up to a year, as parsePeriod does in seconds", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 31_536_000_000 }), (ms) => {
        expect(parseDuration("timeout", `${ms}ms`)).toBe(ms);
        expect(parsePeriod("period", ms / 1000)).toBe(ms);
      }),
    );
  });
});

describe("formatDuration", () => {
  it.each([
    [1, "1ms"],
    [1500, "1500ms"],
    [90_000, "90s"],
    [900_000, "15m"],
    [3_600_000, "1h"],
    [86_400_000, "1d"],
    [604_800_000, "1w"],
    [31_536_000_000, "365d"],
  ])("writes %d ms as %s", (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
  });

  it("writes a text that parseDuration reads as the same duration", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8.64e14 }), (ms) => {
        expect(parseDuration("period", formatDuration(ms))).toBe(ms);
      }),
    );
  });
});

describe("parsePeriod", () => {
  it.each([
    [60, 60_000],
    [0.5, 500],
    [0.001, 1],
    [1.005, 1005],
    [8.64e11, 8.64e14],
    ["15m", 900_000],
  ] as const)("reads %o as %d ms: a bare number is in seconds", (period, ms) => {
    expect(parsePeriod("period", period)).toBe(ms);
  });

  it.each([0, -1, NaN, Infinity, -Infinity, 0.0001, 1.0005, 8.64e11 + 1, 1e300, Number.MIN_VALUE])(
    "throws a RangeError for %d",
    (period) => {
      expect(() => parsePeriod("period", period)).toThrow(
        coded(
          new RangeError(
            `Expected \`period\` to be a number of seconds, or a duration with its unit such as "15m", of whole milliseconds up to 10 million days, got \`${String(period)}\` (number)`,
          ),
        ),
      );
    },
  );

  it.each([undefined, null, 60n, {}, [60], new Date(), true])("throws a TypeError for %o", (period) => {
    expect(() => parsePeriod("period", period)).toThrow(TypeError);
  });
});
