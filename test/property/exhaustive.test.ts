import { describe, expect, it } from "vitest";
import type { Limit } from "../../src/index.js";
import type { ModelPolicy } from "../support/model.js";
import { World } from "../support/model-run.js";

type Move = (world: World) => void | Promise<void>;

const moves = {
  a: (world: World): void => {
    world.check("a", 1);
  },
  a2: (world: World): void => {
    world.check("a", 2);
  },
  b: (world: World): void => {
    world.check("b", 1);
  },
  tick: (world: World): void => {
    world.step(1);
  },
  back: (world: World): void => {
    world.step(-1);
  },
  undoLast: (world: World) => world.refund(0),
  undoBefore: (world: World) => world.refund(1),
  reset: (world: World) => world.reset("a"),
};

const lockMoves = {
  ...{ a: moves.a, a2: moves.a2, tick: moves.tick, undoLast: moves.undoLast },
  lock: (world: World) => world.lock("a", 2),
  unlock: (world: World) => world.unlock("a"),
};

/** Runs every sequence of moves of this length in a new world, and compares with the model at every step. */
async function everySequence(
  limits: readonly Limit[],
  alphabet: readonly Move[],
  length: number,
  policy?: ModelPolicy,
): Promise<number> {
  const total = alphabet.length ** length;
  for (let sequence = 0; sequence < total; sequence += 1) {
    const world = new World(limits, policy);
    for (let rest = sequence, step = 0; step < length; step += 1) {
      const moved = alphabet[rest % alphabet.length]?.(world);
      if (moved !== undefined) await moved;
      rest = Math.floor(rest / alphabet.length);
    }
  }
  return total;
}

describe("every short sequence of steps agrees with the model", () => {
  const small = [1, 2, 3].flatMap((maxCalls) => [1, 2, 3, 4].map((periodMs) => ({ maxCalls, periodMs })));

  it.each(small)("$maxCalls per $periodMs ms: two keys and refunds, 8 steps", async (limit) => {
    expect(await everySequence([limit], [moves.a, moves.b, moves.tick, moves.undoLast], 8)).toBe(4 ** 8);
  });

  it.each(small)("$maxCalls per $periodMs ms: costs, refunds, resets and steps back, 5 steps", async (limit) => {
    expect(await everySequence([limit], Object.values(moves), 5)).toBe(8 ** 5);
  });

  it.each([
    { maxCalls: 1, periodMs: 1, stepsMs: [1, 3], forgetAfterMs: 1 },
    { maxCalls: 2, periodMs: 3, stepsMs: [2], forgetAfterMs: 2 },
  ])("$maxCalls per $periodMs ms, locks of $stepsMs ms: by refusals and by hand, 6 steps", async (given) => {
    const { stepsMs, forgetAfterMs, ...limit } = given;
    const runs = await everySequence([limit], Object.values(lockMoves), 6, { stepsMs, forgetAfterMs });
    expect(runs).toBe(6 ** 6);
  });

  it("a deep short layer with a shallow long one: costs and refunds, 8 steps", async () => {
    const limits = [
      { name: "deep", maxCalls: 3, periodMs: 2 },
      { name: "shallow", maxCalls: 2, periodMs: 4 },
    ];
    const alphabet = [moves.a, moves.a2, moves.tick, moves.undoLast, moves.undoBefore];
    expect(await everySequence(limits, alphabet, 8)).toBe(5 ** 8);
  });
});
