import { fileURLToPath } from "node:url";
import ts from "typescript";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";
import manifest from "./package.json" with { type: "json" };

/** Maps each entry point of the package to its source. */
const alias = Object.entries(manifest.exports).flatMap(([entry, formats]) =>
  typeof formats === "string"
    ? []
    : {
        find: new RegExp(`^sluicegate${entry.slice(1)}$`),
        replacement: fileURLToPath(
          new URL(formats.import.default.replace("./dist/esm/", "src/").replace(/js$/, "ts"), import.meta.url),
        ),
      },
);

/** Compiles a fixture with TypeScript, in the decorator mode that its query names, because Vite does not lower standard decorators. */
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
  resolve: { alias },
  test: {
    projects: [
      { extends: true, test: { name: "unit", include: ["test/*.test.ts", "test/{unit,property}/**/*.test.ts"] } },
      { extends: true, test: { name: "http", include: ["test/http/**/*.test.ts"] } },
      { extends: true, test: { name: "stores", include: ["test/stores/**/*.test.ts"] } },
      {
        extends: true,
        // Only these tests need the built and packed package.
        test: { name: "package", include: ["test/package/**/*.test.ts"], globalSetup: ["test/package/pack.ts"] },
      },
    ],
    maxWorkers: "100%",
    testTimeout: 60_000,
    // Hooks start servers, and a Redis cluster needs seconds to form.
    hookTimeout: 60_000,
    // `TESTING` and `NODE_ENV` control the bypass, and the shell may set them. Tests that need them set them.
    env: { TESTING: "", NODE_ENV: "test" },
    unstubEnvs: true,
    restoreMocks: true,
  },
});
