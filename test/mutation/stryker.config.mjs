// Mutation tests of the core and the memory store: `npm run test:mutation`, and nothing of it in `npm test`.
//
// What survives is of two kinds. Words of complaints that no test repeats; and mutants that make no answer wrong:
// - `bypass`: an empty `catch` returns undefined as well.
// - `ring-pages`, `key-table`: an empty page that is kept, or doubled early, is memory alone. A copy by a view and one by a loop are
//   the same. `key-index`: which map a key is in decides how long a `Map` takes to grow, and not what is found.
// - `evictor`: `makeRoom` with room to spare finds no victim. A search that moves on although there is room is as right, from another
//   place on.
// - `batch`: every call has a result.
/** @type {import("@stryker-mutator/api/core").PartialStrykerOptions} */
export default {
  mutate: ["src/core/**/*.ts", "src/store/**/*.ts"],
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "test/mutation/vitest.config.ts", related: false },
  coverageAnalysis: "perTest",
  concurrency: 2,
  timeoutMS: 5000,
  thresholds: { high: 95, low: 90, break: 90 },
  reporters: ["progress-append-only", "clear-text", "html", "json"],
  clearTextReporter: { allowColor: false, logTests: false, reportTests: false },
  // Where git, the linter and the formatter look away already.
  htmlReporter: { fileName: "coverage/mutation/index.html" },
  jsonReporter: { fileName: "coverage/mutation/report.json" },
  tempDirName: "coverage/mutation-sandbox",
  // Not copied to the sandbox: nothing in it is read by these tests.
  ignorePatterns: ["bench", "dist", "examples", "README.md"],
  packageManager: "npm",
};
