import { describe, expect, it } from "vitest";
import { AsyncRateLimiter, type AsyncRateLimiterOptions, type CallOptions } from "../../../src/index.js";
import { coded } from "../../support/coded.js";

const construct = (options: object) => () => new AsyncRateLimiter(options as AsyncRateLimiterOptions);
const limit = { maxCalls: 3, period: "1m" } as const;

describe("an option that is not fit is refused at construction", () => {
  it.each([-1, 2.5, NaN, Infinity, -Infinity])("maxCalls %d is a RangeError", (maxCalls) => {
    expect(construct({ ...limit, maxCalls })).toThrow(
      coded(new RangeError(`Expected \`maxCalls\` to be a non-negative integer, got \`${String(maxCalls)}\` (number)`)),
    );
  });

  it.each(["3", undefined, null, 3n, [3], {}, true])("maxCalls %o is a TypeError", (maxCalls) => {
    expect(construct({ ...limit, maxCalls })).toThrow(TypeError);
  });

  it("maxCalls beyond what a log can hold is a RangeError", () => {
    expect(construct({ ...limit, maxCalls: 2 ** 24 })).not.toThrow();
    expect(construct({ ...limit, maxCalls: 2 ** 24 + 1 })).toThrow(
      "Expected `maxCalls` to be a non-negative integer, at most 16777216, got `16777217` (number)",
    );
  });

  it("maxCalls 0 and -0 are legal", () => {
    expect(construct({ ...limit, maxCalls: 0 })).not.toThrow();
    expect(construct({ ...limit, maxCalls: -0 })).not.toThrow();
  });

  it.each([0, -1, NaN, Infinity, 0.0005, "0s", "1y", "soon", "", "1.5ms"])("period %j is a RangeError", (period) => {
    expect(construct({ ...limit, period })).toThrow(RangeError);
  });

  it.each([undefined, null, 60n, {}, []])("period %o is a TypeError", (period) => {
    expect(construct({ ...limit, period })).toThrow(TypeError);
  });

  it.each([
    { name: 5 },
    { name: null },
    { store: {} },
    { store: null },
    { clock: null },
    { clock: { now: 5 } },
    { bypass: true },
    { bypass: "TESTING" },
    { bypass: null },
    { mode: true },
    { onDecision: "log" },
    { onDecision: null },
    { warnings: 0 },
    { warnings: null },
    { maxcalls: 3 },
    { limit: 3 },
    { cost: 1 },
  ])("%o is a TypeError", (option) => {
    expect(construct({ ...limit, ...option })).toThrow(TypeError);
  });

  it("an unknown option is named, with those there are", () => {
    expect(construct({ ...limit, windowMs: 5 })).toThrow(
      coded(
        new TypeError(
          "Expected `windowMs` to be `period`, whose bare numbers are seconds, or one of the options maxCalls, period, name, store, clock, bypass, mode, onDecision, warnings, lockFor, forgetAfter, got `5` (number)",
        ),
      ),
    );
  });

  it("options are read once, and only those of the object itself", async () => {
    let reads = 0;
    const options = {
      ...limit,
      get mode() {
        reads += 1;
        return reads === 1 ? "enforce" : "shadow";
      },
    };
    const limiter = construct(options)();
    expect(reads).toBe(1);
    expect((await limiter.check("ada", { cost: 4 })).allowed).toBe(false);
    const inherited = Object.assign(Object.create({ mode: "shadow", mood: "bad" }) as object, limit);
    expect((await construct(inherited)().check("ada", { cost: 4 })).allowed).toBe(false);
  });

  it("no options at all name those there are", () => {
    expect(construct(undefined as unknown as object)).toThrow(
      /^Expected `options` to be an object with the options maxCalls, period, .*, got `undefined` \(undefined\)$/,
    );
  });

  it("an unknown mode is a RangeError", () => {
    expect(construct({ ...limit, mode: "dry-run" })).toThrow(
      coded(new RangeError('Expected `mode` to be "enforce" or "shadow", got `dry-run` (string)')),
    );
  });

  it.each([undefined, null, 3, "3/1m", [limit]])("options %o are a TypeError", (options) => {
    expect(construct(options as object)).toThrow(TypeError);
  });
});

describe("an invalid argument is refused by every method, and nothing is recorded", () => {
  const badKeys = [undefined, null, 7, 7n, {}, ["ada"], Symbol("ada")];
  const badCosts: [CallOptions, typeof TypeError][] = [
    [{ cost: 0 }, RangeError],
    [{ cost: -1 }, RangeError],
    [{ cost: 1.5 }, RangeError],
    [{ cost: NaN }, RangeError],
    [{ cost: Infinity }, RangeError],
    [{ cost: "2" as unknown as number }, TypeError],
    [{ cost: null as unknown as number }, TypeError],
    [{ costs: 2 } as CallOptions, TypeError],
    [2 as CallOptions, TypeError],
    [null as unknown as CallOptions, TypeError],
  ];

  it.each(badKeys)("a key of %o is a TypeError", async (bad) => {
    const limiter = new AsyncRateLimiter(limit);
    const key = bad as string;
    for (const call of [
      limiter.isAllowed(key),
      limiter.check(key),
      limiter.peek(key),
      limiter.state(key),
      limiter.reset(key),
    ]) {
      await expect(call).rejects.toThrow(/^Expected `key` to be a string, got /);
    }
    expect(() => limiter.checkSync(key)).toThrow(TypeError);
  });

  it.each(badCosts)("options %o", async (options, kind) => {
    const limiter = new AsyncRateLimiter(limit);
    for (const verb of ["isAllowed", "check", "peek"] as const) {
      await expect(limiter[verb]("ada", options)).rejects.toThrow(kind);
    }
    expect(() => limiter.checkSync("ada", options)).toThrow(kind);
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("a cost of undefined is a cost of 1", async () => {
    const limiter = new AsyncRateLimiter(limit);
    expect((await limiter.check("ada", { cost: undefined })).remaining).toBe(2);
    expect((await limiter.check("ada", {})).remaining).toBe(1);
  });
});
