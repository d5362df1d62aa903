import { fileURLToPath } from "node:url";
import ts from "typescript";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

const source = (path: string): string => fileURLToPath(new URL(`src/${path}`, import.meta.url));

/** Compiles a fixture as TypeScript would, in the decorator mode its query names: Vite lowers no standard decorators. */
const decorators: Plugin = {
  name: "decorators",
  enforce: "pre",
  transform(code, id) {
    const mode = /\?decorators=(standard|legacy)$/.exec(id)?.[1];
    if (mode === undefined) return undefined;
    const { outputText } = ts.transpileModule(code, {
      compilerOptions: {
        target: ts.ScriptTarget.ES2022,
        module: ts.ModuleKind.ESNext,
        experimentalDecorators: mode === "legacy",
      },
    });
    return { code: outputText, map: null };
  },
};

export default defineConfig({
  plugins: [decorators],
  resolve: {
    alias: [
      { find: /^sluicegate$/, replacement: source("index.ts") },
      { find: /^sluicegate\/(\w+)$/, replacement: source("$1/index.ts") },
    ],
  },
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: ["test/package/pack.ts"],
    maxWorkers: "100%",
    testTimeout: 60_000,
    // Servers are started in hooks, and a cluster agrees with itself when it can.
    hookTimeout: 60_000,
    // `TESTING` and `NODE_ENV` switch the bypass, and a shell may have them set: tests that want them say so.
    env: { TESTING: "", NODE_ENV: "test" },
    unstubEnvs: true,
    restoreMocks: true,
  },
});
