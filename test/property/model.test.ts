import fc from "fast-check";
import { expect, it } from "vitest";
import { anyLimits, anyPolicy, anyStep } from "../support/commands.js";
import { World } from "../support/model-run.js";

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
        for (const step of script) await world.take(step);
        steps += script.length;
      },
    ),
    { numRuns: RUNS },
  );
  expect(steps).toBeGreaterThanOrEqual(RUNS * 80);
});
