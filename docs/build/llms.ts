import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import manifest from "../../package.json" with { type: "json" };

/** The groups of the sidebar, with the title and the path of each page. */
export type Groups = readonly (readonly [group: string, pages: readonly (readonly [title: string, path: string])[]])[];

/** The address of a page on the site. */
export const urlOf = (path: string): string => `/${path.replace(/(index|README)$/, "")}`;

/**
 * Writes the pages for language models into the site: `llms.txt`, a list of links with one sentence each, and `llms-full.txt`, the text
 * of all pages, in the order of the sidebar.
 */
export function writeLlmsFiles(docs: string, site: string, groups: Groups): void {
  const { name, description } = manifest;
  const list = [`# ${name}`, "", `> ${description}`];
  const full = [...list];
  for (const [group, pages] of groups) {
    list.push("", `## ${group}`, "");
    for (const [title, path] of pages) {
      const text = readFileSync(join(docs, `${path}.md`), "utf8").replace(/^---\n.*?\n---\n/s, "");
      const url = urlOf(path);
      list.push(`- [${title}](${url})${summaryOf(text)}`);
      full.push("", `<!-- ${url} -->`, "", text.trim());
    }
  }
  writeFileSync(join(site, "llms.txt"), `${list.join("\n")}\n`);
  writeFileSync(join(site, "llms-full.txt"), `${full.join("\n")}\n`);
}

/** The first sentence of the first paragraph. */
function summaryOf(text: string): string {
  const paragraph = text.split(/\n{2,}/).find((part) => /^[\w`*[]/.test(part));
  const plain = paragraph?.replace(/\s+/g, " ").replace(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  const sentence = /^.*?[.:?](?=\s|$)/.exec(plain ?? "")?.[0];
  return sentence === undefined ? "" : `: ${sentence.replaceAll("**", "").replace(/:$/, ".")}`;
}
