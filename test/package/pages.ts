import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** A program in a page. */
export interface Block {
  /** Its position among the programs of the page, from 1. */
  readonly number: number;
  /** The file that it is written to, relative to the folder of its page. The first line can name it: `// login.ts`. */
  readonly file: string;
  readonly code: string;
  readonly kind: "service" | "vitest" | "jest" | "node:test" | "script" | "compiled only";
  /** The commands of the console blocks between this program and the next service. */
  readonly commands: Command[];
}

export interface Command {
  readonly text: string;
  readonly output: string;
}

export interface Page {
  /** Relative to the repository: `docs/guide/redis.md`. */
  readonly path: string;
  readonly blocks: readonly Block[];
}

/** README, the skill in the package, and all pages of `docs` that are not generated. */
export function readPages(): Page[] {
  const docs = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".md") && !/^(api|decisions)\/|(^|\/)node_modules\//.test(path))
    .sort();
  return ["README.md", "skills/sluicegate/SKILL.md", ...docs.map((path) => `docs/${path}`)].map((path) => ({
    path,
    blocks: parse(path, readFileSync(join(root, path), "utf8")),
  }));
}

function parse(path: string, text: string): Block[] {
  const blocks: Block[] = [];
  for (const { 1: language = "", 2: code = "" } of text.matchAll(/^```(\w*)[^\n]*\n(.*?)^```$/gms)) {
    if (language === "console") {
      const service = blocks.filter(({ kind }) => kind === "service").at(-1);
      if (service === undefined)
        throw new Error(`${path}: \`\`\`console needs a service before it. Other commands: \`\`\`sh`);
      service.commands.push(...commandsOf(code));
    }
    const kind = kindOf(language, code);
    if (kind === undefined) continue;
    const number = blocks.length + 1;
    const suite = kind === "vitest" ? ".test" : "";
    const named = /^\/\/ ([\w.[\]/-]+\.tsx?)$/m.exec(code.slice(0, code.indexOf("\n")))?.[1];
    const file = kind === "jest" ? `block-${number}.test.cjs` : (named ?? `block-${number}${suite}.ts`);
    if (blocks.some((other) => other.file === file)) throw new Error(`${path}: two programs are named ${file}`);
    blocks.push({ number, file, code, kind, commands: [] });
  }
  return blocks;
}

function kindOf(language: string, code: string): Block["kind"] | undefined {
  if (language === "js") return code.includes("jest") ? "jest" : undefined;
  if (!/^tsx?$/.test(language)) return undefined;
  if (code.includes('from "vitest"')) return "vitest";
  if (code.includes('from "node:test"')) return "node:test";
  if (/\.listen\(|\bserve\(/.test(code) && code.includes('process.env["PORT"]')) return "service";
  return /console\.log\(|from "node:assert/.test(code) ? "script" : "compiled only";
}

/** The lines `$ command`, each with the lines of its output. A command continues after a backslash. */
function commandsOf(code: string): Command[] {
  return [...code.matchAll(/^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)/gm)].map(([, text = "", output = ""]) => ({
    text,
    output,
  }));
}

/** The lines that a script prints: the comments behind its calls of `console.log`. */
export const promisedBy = (code: string): string[] =>
  [...code.matchAll(/console\.log\((?:.*|[^;]*?)\); \/\/ (.*)$/gm)].map(([, line = ""]) => line);

export const scriptOf = (path: string): string => path.replace(/\.tsx?$/, ".js");

export const folderOf = (project: string, { path }: Page): string => join(project, path.replace(/\.md$/, ""));

/** Writes the programs of each page into a folder of its own, in a project with the packed package and this repository's packages. */
export function writeProject(project: string, consumer: string, pages: readonly Page[]): void {
  const modules = join(project, "node_modules");
  // A copy and not a link, because the types of the package extend those of frameworks, which are next to it.
  cpSync(join(consumer, "node_modules/sluicegate"), join(modules, "sluicegate"), { recursive: true });
  for (const name of readdirSync(join(root, "node_modules"))) {
    if (!name.startsWith(".")) symlinkSync(join(root, "node_modules", name), join(modules, name));
  }
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module" }));
  for (const page of pages) {
    for (const { file, code, kind } of page.blocks) {
      const path = join(folderOf(project, page), file);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, code);
      if (kind === "jest" || kind === "vitest") continue;
      const compilerOptions = { ...optionsOf(page), module: ts.ModuleKind.ESNext };
      writeFileSync(scriptOf(path), ts.transpileModule(code, { compilerOptions }).outputText);
    }
  }
}

const strictest: ts.CompilerOptions = {
  noEmit: true,
  strict: true,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noPropertyAccessFromIndexSignature: true,
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  jsx: ts.JsxEmit.ReactJSX,
  // A block without an import or export is a module too, as it is in the project of a reader.
  moduleDetection: ts.ModuleDetectionKind.Force,
  types: ["node"],
};

/** NestJS needs the decorators of TypeScript 4. Other pages use those of the standard. */
function optionsOf({ blocks }: Page): ts.CompilerOptions {
  const usesNest = blocks.some(({ code }) => code.includes('from "@nestjs/common"'));
  return usesNest ? { ...strictest, experimentalDecorators: true, emitDecoratorMetadata: true } : strictest;
}

/** The problems that the compiler finds in the programs of a page. The first call parses all pages, which takes seconds. */
export function compiler(project: string, pages: readonly Page[]): (page: Page) => string[] {
  const filesOf = (page: Page): string[] =>
    page.blocks.filter(({ kind }) => kind !== "jest").map(({ file }) => join(folderOf(project, page), file));
  const programs = new Map<boolean, ts.Program>();
  const sources = new Map<string, ts.SourceFile | undefined>();
  return (page) => {
    const options = optionsOf(page);
    const isLegacy = options.experimentalDecorators === true;
    let program = programs.get(isLegacy);
    if (program === undefined) {
      const host = ts.createCompilerHost(options);
      const parse = host.getSourceFile.bind(host);
      host.getSourceFile = (name, ...rest) => {
        if (!sources.has(name)) sources.set(name, parse(name, ...rest));
        return sources.get(name);
      };
      const alike = pages.filter((other) => (optionsOf(other).experimentalDecorators === true) === isLegacy);
      const typeRoots = [join(project, "node_modules/@types")];
      program = ts.createProgram(alike.flatMap(filesOf), { ...options, typeRoots }, host);
      programs.set(isLegacy, program);
    }
    return filesOf(page).flatMap((file) => {
      const source = program.getSourceFile(file);
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)].map(
        ({ messageText, start }) => {
          const line = source?.text.slice(0, start).split("\n").length ?? 0;
          return `${file.slice(project.length + 1)}:${line} ${ts.flattenDiagnosticMessageText(messageText, "\n")}`;
        },
      );
    });
  };
}
