import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { brokenLinks, markdownFiles } from "../docs/build/links.js";
import { groups } from "../docs/build/groups.js";
import manifest from "../package.json" with { type: "json" };

const root = fileURLToPath(new URL("../", import.meta.url));
const files = markdownFiles(root);

describe("the Markdown files", () => {
  it("link to files and headings that exist", () => {
    expect(files.length).toBeGreaterThan(50);
    expect(brokenLinks(root, files)).toEqual([]);
  });

  it("are linked on the front page if they are in the sidebar", () => {
    const front = readFileSync(`${root}docs/index.md`, "utf8");
    for (const [group, pages] of groups) {
      expect(front).toContain(
        `**${group}**: ${pages.map(([title, path]) => `[${title}](./${path}.md)`).join(" · ")}\n`,
      );
    }
  });

  it("name npm scripts that package.json has", () => {
    const named = files.flatMap((file) => [...readFileSync(file, "utf8").matchAll(/\bnpm run ([\w:]+)/g)]);
    expect(named.length).toBeGreaterThan(9);
    for (const [, script = ""] of named) expect(Object.keys(manifest.scripts)).toContain(script);
  });
});

it("the page of benchmarks is the one that bench/page.mjs writes from results.json", () => {
  const written = execFileSync(process.execPath, [`${root}bench/page.mjs`], { encoding: "utf8" });
  expect(readFileSync(`${root}docs/benchmarks.md`, "utf8")).toBe(written);
});
