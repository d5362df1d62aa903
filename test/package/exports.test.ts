import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, inject, it } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Manifest {
  version: string;
  dependencies?: object;
  peerDependencies: object;
  peerDependenciesMeta: Record<string, { optional: boolean }>;
  exports: Record<string, Record<"import" | "require", Record<"types" | "default", string>> | string>;
  typesVersions: { "*": Record<string, string[]> };
}
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => path.includes("."))
    .sort();

const sources = filesOf(join(root, "src")).filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));
const entryPoints = Object.keys(manifest.exports).filter((entry) => entry !== "./package.json");

/** The source that an entry point is built from. */
function sourceOf(entry: string): string | undefined {
  const formats = manifest.exports[entry];
  if (typeof formats !== "object") return undefined;
  const path = formats.import.default.replace("./dist/esm/", "").replace(/\.js$/, ".ts");
  return sources.find((source) => source === path);
}

describe("the package", () => {
  it("has a changelog with a section for its version", () => {
    expect(readFileSync(join(root, "CHANGELOG.md"), "utf8")).toContain(`\n## ${manifest.version}\n`);
  });

  it("has no dependencies", () => {
    expect(manifest.dependencies).toBeUndefined();
  });

  it("imports no package except its peers, which are all optional, and needs no other for its types", () => {
    const named = filesOf(inject("distribution"))
      .filter((path) => path.endsWith(".d.ts") || path.endsWith(".js"))
      .map((path) => ts.preProcessFile(readFileSync(join(inject("distribution"), path), "utf8"), true, true))
      .flatMap(({ importedFiles, typeReferenceDirectives }) => [...importedFiles, ...typeReferenceDirectives])
      .map(({ fileName }) => fileName)
      .filter((name) => !/^(\.|node:)/.test(name));
    const peers = Object.keys(manifest.peerDependencies);
    expect([...new Set(named)].sort()).toEqual(peers.sort());
    expect(manifest.peerDependenciesMeta).toEqual(Object.fromEntries(peers.map((peer) => [peer, { optional: true }])));
  });

  it.each(["esm", "cjs"])(
    "contains, in %s, one script and one declaration file for each source, their maps, and nothing else",
    (format) => {
      const expected = sources.flatMap((path) => {
        const stem = path.slice(0, -".ts".length);
        return ["d.ts", "d.ts.map", "js", "js.map"].map((ending) => `${stem}.${ending}`);
      });
      if (format === "cjs") expected.push("package.json");
      expect(filesOf(join(inject("distribution"), format))).toEqual(expected.sort());
    },
  );

  it.each(entryPoints)("exports %s from the files that are built from its source, in both formats", (entry) => {
    const stem = sourceOf(entry)?.slice(0, -".ts".length);
    expect(stem).toBeDefined();
    const both = (format: string) => ({
      types: `./dist/${format}/${String(stem)}.d.ts`,
      default: `./dist/${format}/${String(stem)}.js`,
    });
    expect(manifest.exports[entry]).toEqual({ import: both("esm"), require: both("cjs") });
  });

  it("has an entry point for every index and for every HTTP adapter, and no others", () => {
    const indexes = sources.filter((path) => /(^|\/)index\.ts$/.test(path));
    const inAdapters = sources.filter((path) => path.startsWith("http/adapters/"));
    // `fastify-options` is a part of `fastify`.
    const stems = inAdapters.map((path) => path.slice(0, -".ts".length));
    const adapters = inAdapters.filter((path) => !stems.some((stem) => path.startsWith(`${stem}-`)));
    expect(adapters).not.toEqual([]);
    expect(entryPoints.map(sourceOf).sort()).toEqual([...indexes, ...adapters].sort());
  });

  it("lists the types of each subpath for compilers that do not read `exports`", () => {
    const subpaths = entryPoints.filter((entry) => entry !== ".");
    expect(manifest.typesVersions["*"]).toEqual(
      Object.fromEntries(
        subpaths.map((entry) => [
          entry.slice(2),
          [(manifest.exports[entry] as { require: { types: string } }).require.types],
        ]),
      ),
    );
  });
});
