import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url));

export default defineConfig({
  resolve: {
    alias: [
      { find: /^sluicegate$/, replacement: source("index.ts") },
      { find: /^sluicegate\/testing$/, replacement: source("testing/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/package/pack.ts"],
    maxWorkers: "100%",
    testTimeout: 60_000,
    // `TESTING` and `NODE_ENV` switch the bypass, and a shell may have them set: tests that want them say so.
    env: { TESTING: "", NODE_ENV: "test" },
    unstubEnvs: true,
    restoreMocks: true,
  },
});
