// Mutation tests of the core and the memory store: `npm run test:mutation`, and nothing of it in `npm test`.
//
// What survives is of two kinds. Words of complaints that no test repeats; and mutants that make no answer wrong:
// - `bypass`: an empty `catch` returns undefined as well.
// - `timestamp-logs`: a log of the last place moves to where it is; epochs that count down differ as well; a page of headers that
//   is kept, or doubled early, is memory alone. `stamp-pages`: a copy by a view and one by a loop, of a block and of a page that
//   is one block, are the same. `place-index`, `key-list`: where a key is kept decides how long it takes to find, and not what
//   is found. `log-table`: what was recorded in a log of the same epoch, and has not expired, is there to be taken.
// - `hand`: a name that is where it was need not be looked up; `makeRoom` with room to spare finds no victim; a look at 0 keys
//   asks for no table; one table more is one that was asked before; tables are never undefined within their number.
// - `memory-judgement`: undefined among the spared spares nobody; every part has its verdict; no limiter asks one memory store
//   about a space of another. A hand that moves on although there is room answers as rightly, from another place on.
// - `memory-space`: nowhere is no epoch of a log.
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
