import { defineConfig } from "vitest/config";
import everyTest from "../../vitest.config.js";

/** The fast tests of what stryker changes: no built package, no server, and none that walks every sequence there is. */
export default defineConfig({
  ...everyTest,
  test: {
    ...everyTest.test,
    include: [
      "test/unit/{core,store}/**/*.test.ts",
      "test/property/{oracle,promises}.test.ts",
      "test/unit/limiter/{all-of,async-rate-limiter,validation}.test.ts",
    ],
    // A worker for each file takes longer than the tests.
    isolate: false,
    setupFiles: ["test/mutation/no-shrinking.ts"],
    env: { ...everyTest.test?.env, ORACLE_RUNS: "150" },
  },
});
