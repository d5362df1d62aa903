import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { brokenLinks, markdownFiles } from "../docs/build/links.js";

const root = fileURLToPath(new URL("../", import.meta.url));

it("the Markdown files link to files and headings that exist", () => {
  const files = markdownFiles(root);
  expect(files.length).toBeGreaterThan(50);
  expect(brokenLinks(root, files)).toEqual([]);
});
