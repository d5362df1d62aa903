import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const page = readFileSync(join(root, "docs/errors.md"), "utf8").replace(/[`\\]/g, "");
const sources = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => readFileSync(join(root, "src", path), "utf8"))
  .join("\n");

/** The texts behind a call in the sources, up to their first inserted value. */
const textsOf = (call: string): string[] =>
  [...sources.matchAll(new RegExp(String.raw`\b(?:${call})\(\s*(?:"SLUICEGATE_\w+",\s*)?(["\`])(.*?)(?:\1|\$\{)`, "g"))]
    .map(([, , text = ""]) => text.replace(/[`\\]/g, "").replace(/[ :]+$/, ""))
    .filter((text) => text !== "");

describe("the page of errors and warnings", () => {
  it("has a heading for each code, and for no other", () => {
    const codes = [...sources.matchAll(/"(SLUICEGATE_[A-Z_]+)"|code = "([A-Z_]+)"/g)].map(
      ([, one, other]) => one ?? other,
    );
    const headings = [...page.matchAll(/^#+ ([A-Z]+_[A-Z_]+)$/gm)].map(([, code]) => code);
    expect(headings.sort()).toEqual([...new Set(codes)].sort());
  });

  it("contains the text of each StoreError and of each warning", () => {
    const texts = textsOf("StoreError|CrossSlotError|UnreachableError|LimiterClosedError|(?<!#)warn|warnOnce");
    expect(texts.length).toBeGreaterThan(25);
    expect(texts.filter((text) => !page.includes(text))).toEqual([]);
  });
});
