import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

/** The modules from the bottom up: a module imports from itself and from modules below. */
const LAYERS: Readonly<Record<string, number>> = {
  core: 0,
  load: 1,
  store: 1,
  "store/memory": 2,
  // The fallback of a remote store may be in memory.
  "store/remote": 3,
  limiter: 4,
  wrap: 5,
  redis: 5,
  kv: 5,
  // The contract of stores is checked through limiters.
  testing: 5,
  http: 6,
  "http/adapters": 7,
  login: 7,
  nest: 7,
  index: 9,
};

interface Import {
  readonly from: string;
  readonly to: string;
}

const files = readdirSync(source, { recursive: true, encoding: "utf8" })
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts") && !path.endsWith(".d.ts"));

const imports: Import[] = files.flatMap((from) =>
  [...readFileSync(join(source, from), "utf8").matchAll(/^(?:import|export)\b[^;]*?\bfrom "([^"]+)";/gm)].map(
    ([, specifier = ""]) => ({
      from,
      to: specifier.startsWith(".") ? posix.join(posix.dirname(from), specifier).replace(/\.js$/, ".ts") : specifier,
    }),
  ),
);

const moduleOf = (path: string): string => {
  const [nested] = /^(http\/adapters|store\/(memory|remote))(?=\/)/.exec(path) ?? [];
  if (nested !== undefined) return nested;
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : path.slice(0, -3);
};

const inside = imports.filter(({ to }) => to.endsWith(".ts"));

describe("the modules of src", () => {
  it("are found with their imports", () => {
    expect(imports.length).toBeGreaterThan(files.length);
    for (const { to } of inside) expect(files).toContain(to);
  });

  it("each have a layer", () => {
    for (const file of files) expect(Object.keys(LAYERS)).toContain(moduleOf(file));
  });

  it("import from layers below only", () => {
    const upward = inside.filter(({ from, to }) => {
      const [here, there] = [moduleOf(from), moduleOf(to)];
      return here !== there && (LAYERS[there] ?? Infinity) >= (LAYERS[here] ?? -Infinity);
    });
    expect(upward).toEqual([]);
  });

  it("have no import cycle, types included", () => {
    const visited = new Map<string, "open" | "closed">();
    const cycles: string[][] = [];
    const visit = (file: string, path: readonly string[]): void => {
      if (visited.get(file) === "open") cycles.push([...path.slice(path.indexOf(file)), file]);
      if (visited.has(file)) return;
      visited.set(file, "open");
      for (const { from, to } of imports) if (from === file) visit(to, [...path, file]);
      visited.set(file, "closed");
    };
    for (const file of files) visit(file, []);
    expect(cycles).toEqual([]);
  });

  it("import no package but those of the framework they adapt, and modules of Node only to measure the load of the process", () => {
    const isAllowed = ({ from, to }: Import): boolean =>
      from === (to === "fastify" ? "http/adapters/fastify-types.ts" : `http/adapters/${to}.ts`) ||
      (moduleOf(from) === "nest" && /^@nestjs\/(common|core)$/.test(to)) ||
      (moduleOf(from) === "load" && to.startsWith("node:"));
    expect(imports.filter((imported) => !imported.to.endsWith(".ts") && !isAllowed(imported))).toEqual([]);
  });

  it.each(["express", "fastify-types", "hono", "koa"])("import a framework for its types only: %s", (adapter) => {
    const code = readFileSync(join(source, `http/adapters/${adapter}.ts`), "utf8");
    const packages = code.match(/^import [^;]* from "[^.].*/gm);
    expect(packages).not.toBeNull();
    expect(packages?.filter((line) => !line.startsWith("import type "))).toEqual([]);
  });

  it("use stores through limiters only, in HTTP", () => {
    const web = ["http", "http/adapters", "nest"];
    const stores = ["store", "store/memory", "store/remote"];
    expect(inside.filter(({ from, to }) => web.includes(moduleOf(from)) && stores.includes(moduleOf(to)))).toEqual([]);
  });
});
