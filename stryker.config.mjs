// Mutation tests of the core and the memory store: `npm run test:mutation`, and nothing of it in `npm test`.
//
// What survives is of two kinds. Words of complaints that no test repeats; and mutants that make no answer wrong:
// - `bypass`: an empty `catch` returns undefined as well.
// - `timestamp-log`: a removal of none writes the head that was there. `log-table`: a log that has not moved is set where it is;
//   epochs that count down differ as well.
// - `hand`: `makeRoom` with room to spare finds no victim; a look at 0 keys asks for no table; one table more is one that was
//   asked before; tables are never undefined within their number.
// - `memory-judgement`: undefined among the spared spares nobody; every part has its verdict; no limiter asks one memory store
//   about a space of another. A hand that moves on although there is room answers as rightly, from another place on.
// - `memory-space`: what is live and of the same log is there to be taken, so `taken` is never 0.
/** @type {import("@stryker-mutator/api/core").PartialStrykerOptions} */
export default {
  mutate: ["src/core/**/*.ts", "src/store/**/*.ts"],
  testRunner: "vitest",
  plugins: ["@stryker-mutator/vitest-runner"],
  vitest: { configFile: "vitest.mutation.config.ts", related: false },
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
