import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type DefaultTheme, defineConfig } from "vitepress";
import manifest from "../../package.json" with { type: "json" };
import { groups } from "../build/groups.js";
import { brokenLinks, markdownFiles, slugOf } from "../build/links.js";
import { writeLlmsFiles } from "../build/llms.js";
import { sidebar } from "./sidebar.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const api = new URL("../api/typedoc-sidebar.json", import.meta.url);
const repository = (manifest as { repository?: { url: string } }).repository?.url.replace(/^git\+|\.git$/g, "");

/** The source of each entry point of the package. A page imports the package by its name. */
const alias = Object.entries(manifest.exports).flatMap(([entry, formats]) =>
  typeof formats === "string"
    ? []
    : {
        find: new RegExp(`^${manifest.name}${entry.slice(1)}$`),
        replacement: fileURLToPath(
          new URL(formats.import.default.replace("./dist/esm/", "../../src/").replace(/js$/, "ts"), import.meta.url),
        ),
      },
);

export default defineConfig({
  title: manifest.name,
  description: manifest.description,
  cleanUrls: true,
  head: [["link", { rel: "icon", href: "/favicon.svg", type: "image/svg+xml" }]],
  lastUpdated: false,
  rewrites: { "decisions/README.md": "decisions/index.md" },
  srcExclude: ["CONTRIBUTING.md"],
  markdown: {
    anchor: { slugify: slugOf },
    config(markdown) {
      // Links of the Markdown files work on GitHub. On the site, a README is the index of its folder, and a link that leaves `docs/`
      // leads to the repository, if there is one.
      const render = markdown.renderer.rules["link_open"]!;
      markdown.renderer.rules["link_open"] = (tokens, at, options, env, self) => {
        const token = tokens[at]!;
        const href = (token.attrGet("href") ?? "").replace(/(^|\/)README\.md(?=#|$)/, "$1index.md");
        const { relativePath } = env as { relativePath: string };
        const target = new URL(href, `file:///docs/${relativePath}`);
        if (/^\.\.?\//.test(href) && !target.pathname.startsWith("/docs/")) {
          if (repository === undefined) token.attrs = [];
          else token.attrSet("href", `${repository}/blob/main${target.pathname}${target.hash}`);
          return self.renderToken(tokens, at, options);
        }
        token.attrSet("href", href);
        return render(tokens, at, options, env, self);
      };
    },
  },
  vite: { resolve: { alias }, build: { chunkSizeWarningLimit: 2000 } },
  themeConfig: {
    nav: [
      { text: "Guides", link: "/guide/quick-start", activeMatch: "^/(guide|frameworks|recipes|migrating)/" },
      { text: "Errors", link: "/errors" },
      { text: "FAQ", link: "/faq" },
      { text: "API", link: "/api/", activeMatch: "^/api/" },
      { text: "Playground", link: "/playground" },
    ],
    sidebar: {
      "/": sidebar,
      ...(existsSync(api) && { "/api/": JSON.parse(readFileSync(api, "utf8")) as DefaultTheme.SidebarItem[] }),
    },
    outline: [2, 3],
    search: {
      provider: "local",
      options: {
        miniSearch: {
          // A guide answers a question. Its words are also in the headings of the API, which would come first.
          searchOptions: { boostDocument: (id: string) => (id.startsWith("/api/") ? 0.3 : 1) },
        },
      },
    },
    ...(repository !== undefined && { socialLinks: [{ icon: "github", link: repository }] }),
  },
  buildEnd({ outDir, pages }) {
    // VitePress checks links between pages, but not anchors, and no link of a file outside `docs`.
    const files = new Set([...markdownFiles(root), ...pages.map((page) => `${root}docs/${page}`)]);
    const broken = brokenLinks(root, [...files]);
    if (broken.length > 0) throw new Error(`Broken links:\n${broken.join("\n")}`);
    writeLlmsFiles(`${root}docs`, outDir, groups);
  },
});
