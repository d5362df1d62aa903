import { defineConfig } from "vitest/config";
import config from "../../vitest.config.js";

/** The fast tests of the mutated code: no built package, no server, and no exhaustive walk. */
export default defineConfig({
  ...config,
  // Not `...config.test`: a config with projects ignores `include`, and its projects have slow tests.
  test: {
    include: [
      "test/unit/{core,store}/**/*.test.ts",
      "test/property/{model,promises}.test.ts",
      "test/unit/limiter/{all-of,async-rate-limiter,validation}.test.ts",
    ],
    // Starting a worker for each file takes longer than the tests.
    isolate: false,
    setupFiles: ["test/mutation/no-shrinking.ts"],
    env: { ...config.test?.env, MODEL_RUNS: "150" },
    unstubEnvs: true,
    restoreMocks: true,
    testTimeout: 60_000,
  },
});
