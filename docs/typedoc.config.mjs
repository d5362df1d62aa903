import manifest from "../package.json" with { type: "json" };

/** The source of each entry point of the package. */
const entryPoints = Object.values(manifest.exports)
  .filter((formats) => typeof formats !== "string")
  .map((formats) => formats.import.default.replace("./dist/esm/", "../src/").replace(/js$/, "ts"));

/** @type {import("typedoc").TypeDocOptions & import("typedoc-plugin-markdown").PluginOptions} */
export default {
  name: "API",
  entryPoints,
  tsconfig: "../src/tsconfig.json",
  plugin: ["typedoc-plugin-markdown", "typedoc-vitepress-theme"],
  docsRoot: ".",
  out: "api",
  readme: "none",
  // The source has no address until the package has a repository.
  disableSources: true,
  excludeExternals: true,
  excludePrivate: true,
};
