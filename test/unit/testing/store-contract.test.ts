import { type AsyncNamespace, MemoryStore, type SyncNamespace } from "sluicegate";
import { storeContract } from "sluicegate/testing";
import { describe, expect, it, vi } from "vitest";
import { expectMatch } from "../../../src/testing/expectations.js";
import { asyncStore } from "../../support/async-store.js";

type Replace = (space: SyncNamespace) => Partial<AsyncNamespace>;

/** Runs the checks of these names, or all, each on a store of its own. */
async function run(replace: Replace, ...names: string[]): Promise<void> {
  const checks = storeContract({ store: () => asyncStore({ replace }), locks: true });
  const chosen = checks.filter(({ name }) => names.length === 0 || names.includes(name));
  await Promise.all(chosen.map((check) => check.run()));
}

describe("storeContract", () => {
  it("passes for a store that delegates to the memory, with TESTING=1 set, all checks at the same time", async () => {
    vi.stubEnv("TESTING", "1");
    await expect(run(() => ({}))).resolves.toBeUndefined();
  });

  it.each<[string, Replace, string, string]>([
    [
      "reads and then writes",
      (space) => ({
        admit: async (key, limits, cost) => {
          const { retryAfterMs } = space.peek(key, limits, cost);
          await Promise.resolve();
          if (retryAfterMs === 0) space.check(key, [{ maxCalls: 2 ** 20, periodMs: limits[0]!.periodMs }], cost);
          return retryAfterMs === 0;
        },
      }),
      "admits exactly maxCalls of many calls at once",
      "Expected the calls admitted of 500 at a limit of 57 to be 57, got 500",
    ],
    [
      "records a peek",
      (space) => ({ peek: async (...call) => space.check(...call) }),
      "counts by cost, distinguishes never from later, and records nothing for a peek",
      'Expected peek("ada", { cost: 3 }).remaining to be 3, got 0',
    ],
    [
      "counts every call once",
      (space) => ({ check: async (key, limits) => space.check(key, limits, 1) }),
      "counts by cost, distinguishes never from later, and records nothing for a peek",
      'Expected check("ada", { cost: 2 }).remaining to be 1, got 2',
    ],
    [
      "refunds nothing",
      (space) => ({ check: async (...call) => ({ ...space.check(...call), receipt: { refund: async () => false } }) }),
      "refunds exactly what a call recorded, once, and nothing of a later log",
      "Expected the refund of a call of cost 2 to be true, got false",
    ],
    [
      "resets nothing",
      () => ({ reset: async () => true }),
      "forgets a thousand keys at once",
      "Expected calls of a thousand keys after reset() to be 0, got 1000",
    ],
    [
      "folds the case and the spaces of keys",
      (space) => ({ admit: async (key, ...call) => space.admit(key.trim(), ...call) }),
      "takes every string for a key like any other",
      'Expected isAllowed(" ") to be true, got false',
    ],
    [
      "checks only the first limit",
      (space) => ({ check: async (key, limits, cost) => space.check(key, limits.slice(0, 1), cost) }),
      "checks all layers of one log, and records in all or in none",
      'Expected check("ada", { cost: 2 }).layers.length to be 2, got 1',
    ],
    [
      "counts strikes of waiting calls",
      (space) => ({ check: async (key, limits, cost) => space.check(key, limits, cost) }),
      "counts no strike of a peek, a waiting call, a cost that is never admitted, and a limit reduced by load",
      'Expected state("ada").lockedForMs to be 0, got 7',
    ],
    [
      "unlocks a newer lock",
      (space) => ({ unlock: async (key) => space.unlock?.(key) === true }),
      "unlocks and resets a key, unless it has been locked again",
      "Expected unlock() of an earlier lock to be false, got true",
    ],
    [
      "keeps a lock by hand for ever",
      (space) => ({ lock: async (key) => space.lock?.(key, 3_600_000) }),
      "locks a key by hand, with or without lockFor, and keeps its strikes",
      "Expected a call after a shorter lock.allowed to be true, got false",
    ],
    [
      "forgets a lock with the last call",
      (space) => ({
        check: async (...call) => {
          const result = space.check(...call);
          const refund = async () => space.reset(call[0]);
          return { ...result, receipt: result.receipt && { refund } };
        },
      }),
      "keeps the lock and the strikes of a key whose calls are refunded",
      'Expected state("ada").strikes to be 1, got 0',
    ],
  ])("finds a store that %s", async (_fault, replace, check, message) => {
    await expect(run(replace, check)).rejects.toThrow(message);
  });

  it("checks the source of decisions if it is given", async () => {
    const [first] = storeContract({ store: () => new MemoryStore(), source: "redis" });
    await expect(first!.run()).rejects.toThrow('Expected check("ada").source to be "redis", got "memory"');
  });

  it("ends a check after a minute in a store that never replies", async () => {
    vi.useFakeTimers();
    try {
      const [first] = storeContract({ store: () => asyncStore({ later: () => new Promise(() => undefined) }) });
      const ended = expect(first!.run()).rejects.toThrow(
        /^Expected a store that admits maxCalls.* to end within a minute$/,
      );
      await vi.advanceTimersByTimeAsync(60_000);
      await ended;
    } finally {
      vi.useRealTimers();
    }
  });

  it("throws a TypeError for an unknown option, and for a store instead of a function", () => {
    expect(() => storeContract({ stores: () => new MemoryStore() } as never)).toThrow(TypeError);
    expect(() => storeContract({ store: new MemoryStore() } as never)).toThrow(
      /^Expected `store` to be a function that makes a store/,
    );
  });
});

describe("expectMatch", () => {
  it.each([
    ["a primitive value", 1, 2, "x to be 2, got 1"],
    ["the type of a value", "1", 1, 'x to be 1, got "1"'],
    ["a missing property", {}, { a: 1 }, "x.a to be 1, got undefined"],
    ["a missing object", null, { a: 1 }, 'x to be {"a":1}, got null'],
    ["an array for an object", [1], { 0: 1 }, 'x to be {"0":1}, got [1]'],
    ["an element too many", [1, 2], [1], "x.length to be 1, got 2"],
    ["a nested element", { a: [{ b: 1 }] }, { a: [{ b: 2 }] }, "x.a[0].b to be 2, got 1"],
  ])("names %s that differs", (_difference, actual, expected, message) => {
    expect(() => expectMatch("x", actual, expected)).toThrow(`Expected ${message}`);
  });

  it("ignores properties that are not expected", () => {
    expect(() => expectMatch("x", { a: 1, b: [1, { c: NaN }] }, { b: [1, { c: NaN }] })).not.toThrow();
  });
});
