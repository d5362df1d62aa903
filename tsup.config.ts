import { writeFile } from "node:fs/promises";
import { defineConfig, type Options } from "tsup";

// Unbundled: one output file for each source file, so that all entry points share one instance of each module and `instanceof`
// works across them. Bundling copies classes into each entry, and splitting sends CommonJS through a slower transform.
const shared: Options = {
  entry: ["src/**/*.ts", "!src/**/*.d.ts"],
  bundle: false,
  target: "es2022",
  platform: "neutral",
  sourcemap: true,
  clean: true,
  silent: true,
  outExtension: () => ({ js: ".js" }),
};

export default defineConfig([
  { ...shared, format: "esm", outDir: "dist/esm" },
  {
    ...shared,
    format: "cjs",
    outDir: "dist/cjs",
    onSuccess: () => writeFile("dist/cjs/package.json", '{ "type": "commonjs" }\n'),
  },
]);
