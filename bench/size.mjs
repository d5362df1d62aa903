// The size of each entry point with everything that it imports, minified and compressed: `npm run bench -- --only sizes`.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { table } from "./stats.mjs";

const ROOT = new URL("../", import.meta.url);
const { exports, peerDependencies } = JSON.parse(await readFile(new URL("package.json", ROOT), "utf8"));
/** The sizes to reach, in bytes of gzip: 7.8 and 12.5 KB. `bench/gate.mjs` has the limits of today. */
export const TARGETS = { "AsyncRateLimiter alone": 7987, ".": 12_800 };

async function bytesOf(entry) {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: new URL("bench/", ROOT).pathname },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    // An app has its framework anyway.
    external: ["node:*", ...Object.keys(peerDependencies)],
    // Ignores the `paths` of this repository, which lead to the sources instead of the built files.
    tsconfigRaw: "{}",
  });
  return { minified: outputFiles[0].contents.length, gzip: gzipSync(outputFiles[0].contents, { level: 9 }).length };
}

/** @param only - names of entries; all if it is absent. */
export async function sizes({ only } = {}) {
  const points = Object.keys(exports).filter((point) => point !== "./package.json");
  const entries = [
    ["AsyncRateLimiter alone", `export { AsyncRateLimiter } from "sluicegate"`],
    ...points.map((point) => [point, `export * from "sluicegate${point.slice(1)}"`]),
  ].filter(([name]) => only?.includes(name) ?? true);
  return Promise.all(
    entries.map(async ([name, entry]) => ({ name, ...(await bytesOf(entry)), target: TARGETS[name] })),
  );
}

export function printSizes(rows) {
  console.log("\nBytes of each entry point with everything that it imports\n");
  const cells = rows.map(({ name, minified, gzip, target }) => [
    name,
    String(minified),
    String(gzip),
    target === undefined ? "" : String(target),
  ]);
  console.log(table(["entry", "minified", "gzip", "target"], cells));
}
