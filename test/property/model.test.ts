import fc from "fast-check";
import { expect, it } from "vitest";
import { anyLimits, anyPolicy, anyStep, moveOf, type Step } from "../support/commands.js";
import { World } from "../support/model-run.js";

async function run(world: World, step: Step): Promise<void> {
  switch (step.do) {
    case "check":
      world.check(step.key, step.cost, step.own);
      return;
    case "isAllowed":
      return world.isAllowed(step.key, step.cost, step.own);
    case "peek":
      return world.peek(step.key, step.cost, step.own);
    case "state":
      return world.state(step.key);
    case "refund":
      return world.refund(step.which);
    case "reset":
      return world.reset(step.key, step.meant);
    case "resetAll":
      return world.reset();
    case "lock":
      return world.lock(step.key, step.ms);
    case "unlock":
      return world.unlock(step.key, step.meant);
    case "waitForLock":
      world.waitForLock(step.key, step.isForgotten, step.ms);
      return;
    case "reduce":
      world.limiter.reduce(step.to);
      return;
    case "move":
      world.limiter.move(step.to);
      return;
    default:
      world.step(moveOf(step, world.limiter.limits));
  }
}

/** Mutation tests need fewer: they repeat them for each mutant. */
const RUNS = Number(process.env["MODEL_RUNS"] ?? 2500);

it("a limiter agrees with the model on every field after each of 200,000 random steps", async () => {
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(
      anyLimits,
      anyPolicy,
      fc.array(anyStep, { minLength: 60, maxLength: 140, size: "max" }),
      async (limits, policy, script) => {
        const world = new World(limits, policy);
        for (const step of script) await run(world, step);
        steps += script.length;
      },
    ),
    { numRuns: RUNS },
  );
  expect(steps).toBeGreaterThanOrEqual(RUNS * 80);
});
