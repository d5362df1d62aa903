import { writeFile } from "node:fs/promises";
import { defineConfig, type Options } from "tsup";
import manifest from "./package.json" with { type: "json" };

const { homepage, version } = manifest as { homepage?: string; version: string };
/** The address of `docs/errors.md` in the repository, of which `homepage` is the README: see `.github/set-repository.sh`. */
const errorsPage = homepage?.replace("#readme", `/blob/v${version}/docs/errors.md`);

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
  // Warnings end with it.
  define: { ERRORS_PAGE: errorsPage === undefined ? "undefined" : JSON.stringify(errorsPage) },
};

export default defineConfig([
  { ...shared, format: "esm", outDir: "dist/esm" },
  {
    ...shared,
    format: "cjs",
    outDir: "dist/cjs",
    // As `require`: jest runs no `import()` in CommonJS.
    esbuildOptions: (options) => {
      options.supported = { ...options.supported, "dynamic-import": false };
    },
    onSuccess: () => writeFile("dist/cjs/package.json", '{ "type": "commonjs" }\n'),
  },
]);
