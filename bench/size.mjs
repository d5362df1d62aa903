// What each entry point weighs, minified and compressed, with everything it needs: `node bench/size.mjs` after a build.
import { readFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { table } from "./stats.mjs";

const ROOT = new URL("../", import.meta.url);
/** The most that DESIGN allows, in bytes. */
export const MOST = { "AsyncRateLimiter alone": 4096, ".": 8192 };

async function bytesOf(entry) {
  const { outputFiles } = await build({
    stdin: { contents: entry, resolveDir: new URL("bench/", ROOT).pathname },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    target: "es2022",
    platform: "neutral",
    external: ["node:*"],
    // What was built, and not the sources that the paths of this repository lead to.
    tsconfigRaw: "{}",
  });
  return { minified: outputFiles[0].contents.length, gzip: gzipSync(outputFiles[0].contents, { level: 9 }).length };
}

/** @param only - names of entries, for those who need not know of all. */
export async function sizes({ only } = {}) {
  const { exports } = JSON.parse(await readFile(new URL("package.json", ROOT), "utf8"));
  const points = Object.keys(exports).filter((point) => point !== "./package.json");
  const entries = [
    ["AsyncRateLimiter alone", `export { AsyncRateLimiter } from "sluicegate"`],
    ...points.map((point) => [point, `export * from "sluicegate${point.slice(1)}"`]),
  ].filter(([name]) => only?.includes(name) ?? true);
  return Promise.all(entries.map(async ([name, entry]) => ({ name, ...(await bytesOf(entry)), most: MOST[name] })));
}

export function printSizes(rows) {
  console.log("\nBytes of each entry point with all it imports\n");
  const cells = rows.map(({ name, minified, gzip, most }) => [
    name,
    String(minified),
    String(gzip),
    most === undefined ? "" : `${most}${gzip > most ? ": too many" : ""}`,
  ]);
  console.log(table(["entry", "minified", "gzip", "at most"], cells));
}
