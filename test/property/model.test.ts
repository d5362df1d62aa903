import { it } from "vitest";
import { expectAgreement } from "../support/model-run.js";

/** Mutation tests need fewer: they repeat them for each mutant. */
const RUNS = Number(process.env["MODEL_RUNS"] ?? 2500);

it("a limiter agrees with the model on every field after each of 200,000 random steps", async () => {
  await expectAgreement(RUNS);
});
