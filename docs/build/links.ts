import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

/** The anchor of a heading, as GitHub makes it. The site uses the same, so that a link works in both places. */
export const slugOf = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}\p{Pc} -]/gu, "")
    .replaceAll(" ", "-");

const withoutCode = (markdown: string): string => markdown.replace(/^( *)(`{3,}|~{3,}).*?^\1\2`*$/gms, "");

function anchorsOf(markdown: string): Set<string> {
  const text = withoutCode(markdown);
  const anchors = new Set([...text.matchAll(/\b(?:id|name)="([^"]+)"/g)].map(([, id = ""]) => id));
  for (const [, heading = ""] of text.matchAll(/^#{1,6} +(.*?)(?: +#+)?$/gm)) {
    const plain = heading.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/<[^>]*>(?![^`]*`)/g, "");
    const slug = slugOf(plain.replace(/\\(.)/g, "$1"));
    let anchor = slug;
    for (let at = 1; anchors.has(anchor); at += 1) anchor = `${slug}-${at}`;
    anchors.add(anchor);
  }
  return anchors;
}

/**
 * The links of Markdown files to files or anchors that do not exist, as GitHub and the site resolve them. The messages name files relative to
 * `root`.
 */
export function brokenLinks(root: string, files: readonly string[]): string[] {
  const broken: string[] = [];
  for (const file of files) {
    const text = withoutCode(readFileSync(file, "utf8")).replace(/(`+)(?:(?!\n\n).)*?\1/gs, "");
    const inline = [...text.matchAll(/\]\(<?([^()\s>]+(?:\([^()\s]*\))?)>?(?:\s+"[^"]*")?\)/g)];
    const others = [...text.matchAll(/^\[[^\]]+\]: *(\S+)|\b(?:href|src|srcset)="([^"]+)"/gm)];
    for (const [, inParentheses, asAttribute] of [...inline, ...others]) {
      const link = inParentheses ?? asAttribute ?? "";
      if (/^[a-z][a-z+.-]*:/i.test(link)) continue;
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? file : resolve(dirname(file), decodeURI(path));
      const where = `${relative(root, file)}: ${link}`;
      if (path.startsWith("/")) broken.push(`${where} does not work on GitHub: link to a file, such as ../errors.md`);
      else if (!existsSync(target)) broken.push(`${where} links to a file that does not exist`);
      else if (anchor && target.endsWith(".md") && !anchorsOf(readFileSync(target, "utf8")).has(decodeURI(anchor)))
        broken.push(`${where} links to a heading that does not exist`);
      else if (statSync(target).isDirectory() && !existsSync(join(target, "README.md")))
        broken.push(`${where} links to a folder without a README.md`);
    }
  }
  return broken;
}

/** The Markdown files of the repository that have readers: README, `.github`, `docs` and `skills`, without the generated API reference. */
export function markdownFiles(root: string): string[] {
  const within = (folder: string): string[] =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file));
  return [
    "README.md",
    "CHANGELOG.md",
    ...within(".github"),
    ...within("docs"),
    ...within("skills"),
    "test/mutation/README.md",
  ]
    .filter((file) => file.endsWith(".md") && !/(^|\/)node_modules\/|^docs\/api\//.test(file))
    .map((file) => join(root, file));
}
