import { readdirSync, readFileSync } from "node:fs";
import { join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const source = fileURLToPath(new URL("../src/", import.meta.url));

/** The house, from the ground up: a room may import from itself and from rooms below. */
const FLOORS: Readonly<Record<string, number>> = {
  core: 0,
  testing: 1,
  load: 1,
  store: 1,
  limiter: 2,
  guard: 3,
  redis: 3,
  http: 4,
  express: 5,
  fastify: 5,
  fetch: 5,
  hono: 5,
  koa: 5,
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

const roomOf = (path: string): string => (path.includes("/") ? path.slice(0, path.indexOf("/")) : path.slice(0, -3));

const inside = imports.filter(({ to }) => to.endsWith(".ts"));

describe("the house", () => {
  it("has been read: every file but those at the very bottom imports something", () => {
    expect(imports.length).toBeGreaterThan(files.length);
    for (const { to } of inside) expect(files).toContain(to);
  });

  it("has a floor for every room", () => {
    for (const file of files) expect(Object.keys(FLOORS)).toContain(roomOf(file));
  });

  it("lets imports go down only", () => {
    const upward = inside.filter(({ from, to }) => {
      const [here, there] = [roomOf(from), roomOf(to)];
      return here !== there && (FLOORS[there] ?? Infinity) >= (FLOORS[here] ?? -Infinity);
    });
    expect(upward).toEqual([]);
  });

  it("has no cycle, types included", () => {
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

  it("imports nothing from outside: no package, and modules of Node only where the process itself is watched", () => {
    const outside = imports.filter(({ from, to }) => !to.endsWith(".ts") && from !== "fastify/fastify-types.ts");
    expect(outside.filter(({ from, to }) => !(roomOf(from) === "load" && to.startsWith("node:")))).toEqual([]);
  });

  it("tells fastify what its plugin adds, in types of which nothing is left", () => {
    const code = readFileSync(join(source, "fastify/fastify-types.ts"), "utf8");
    expect(code.match(/^import .*/gm)?.filter((line) => !line.startsWith("import type "))).toEqual([]);
  });

  it("keeps HTTP away from stores: it knows limiters only", () => {
    const web = ["http", "express", "fastify", "fetch", "hono", "koa"];
    expect(inside.filter(({ from, to }) => web.includes(roomOf(from)) && roomOf(to) === "store")).toEqual([]);
  });
});
