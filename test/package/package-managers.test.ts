import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { missing } from "../support/missing.js";

const root = fileURLToPath(new URL("../../", import.meta.url));

interface Manifest {
  exports: object;
  peerDependencies: { fastify: string };
  devDependencies: Record<"fastify" | "typescript" | "@types/node", string>;
}
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
const { fastify, typescript, "@types/node": nodeTypes } = manifest.devDependencies;
/** The first version in the range of the peer dependency. */
const lowestFastify = /\d+\.\d+\.\d+/.exec(manifest.peerDependencies.fastify)![0];

const withoutRegistry = missing("the npm registry cannot be reached", () =>
  execFileSync("npm", ["view", `fastify@${fastify}`, "version", "--fetch-retries=0", "--fetch-timeout=10000"], {
    stdio: "ignore",
  }),
);

/** The entry points that need a peer other than fastify, for their types or to run. */
const OTHER_FRAMEWORKS = ["./express", "./hono", "./koa", "./nest"];
const entryPoints = Object.keys(manifest.exports).filter(
  (entry) => entry !== "./package.json" && !OTHER_FRAMEWORKS.includes(entry),
);

/** Imports every entry point that it can, and uses the properties that the package adds to the types of fastify. */
const program = `
  import { fastify } from "fastify";
  import { AsyncRateLimiter } from "sluicegate";
  import { rateLimit } from "sluicegate/fastify";
  ${entryPoints.map((entry, at) => `import * as entry${at} from "sluicegate${entry.slice(1)}";`).join("\n")}

  async function main(): Promise<void> {
    const app = fastify();
    await app.register(rateLimit, { limiter: new AsyncRateLimiter({ maxCalls: 2, period: "1m" }) });
    app.get("/", async (request) => String(request.rateLimit?.remaining));
    app.get("/free", { config: { rateLimit: false } }, async () => "free");
    const bodies: string[] = [];
    for (const url of ["/", "/", "/free"]) bodies.push((await app.inject({ url })).body);
    const refused = await app.inject({ url: "/" });
    const entries = [${entryPoints.map((_, at) => `entry${at}`).join()}].filter((entry) => Object.keys(entry).length > 0);
    console.log(entries.length, ...bodies, refused.statusCode);
  }
  void main();
`;
const PRINTS = `${entryPoints.length} 1 0 free 429\n`;

/** The two ways to resolve types: that of Node.js, for ES modules and CommonJS, and that of bundlers. */
const projects = {
  "nodenext.json": project(["app.mts", "app.cts"], { module: "nodenext" }),
  "bundler.json": project(["app.ts"], { module: "esnext", moduleResolution: "bundler" }),
};

function project(files: readonly string[], flags: object): string {
  return JSON.stringify({
    compilerOptions: { target: "es2022", lib: ["es2022"], strict: true, exactOptionalPropertyTypes: true, ...flags },
    files,
  });
}

/** The files of a project that depends on the packed package, fastify and a compiler. */
function filesOf(name: string, fastifyVersion: string): Record<string, string> {
  return {
    "package.json": JSON.stringify({
      name,
      private: true,
      type: "module",
      dependencies: { fastify: fastifyVersion, sluicegate: `file:${inject("tarball")}` },
      devDependencies: { typescript, "@types/node": nodeTypes },
    }),
    "app.mts": program,
    "app.cts": program,
    "app.ts": program,
    ...projects,
  };
}

function write(folder: string, files: Record<string, string>): void {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}

/** Runs a package manager that this repository has installed, and returns its output. */
async function run(name: "pnpm" | "yarn", cwd: string, ...args: readonly string[]): Promise<string> {
  const npmRegistry = execFileSync("npm", ["config", "get", "registry"], { encoding: "utf8" }).trim();
  const { stdout } = await promisify(execFile)(join(root, "node_modules/.bin", name), args, {
    cwd,
    env: { ...process.env, YARN_NPM_REGISTRY_SERVER: npmRegistry },
  }).catch((error: unknown) => {
    // A compiler prints errors to its standard output, which the message does not include.
    const { message, stdout } = error as Error & { stdout: string };
    throw new Error(`${message}\n${stdout}`);
  });
  return stdout;
}

async function expectThatItCompilesAndRuns(name: "pnpm" | "yarn", folder: string): Promise<void> {
  await run(name, folder, "exec", "tsc", "--build", ...Object.keys(projects));
  for (const format of ["mjs", "cjs"]) expect(await run(name, folder, "node", `app.${format}`)).toBe(PRINTS);
}

// Packages are downloaded from the registry, and compilers share the processor with other tests.
const TIMEOUT = 180_000;

describe.skipIf(withoutRegistry !== undefined)("the packed package", { timeout: TIMEOUT }, () => {
  const scratch = mkdtempSync(join(tmpdir(), "sluicegate-managers-"));
  afterAll(() => rmSync(scratch, { recursive: true, force: true }));

  describe("in a pnpm workspace without hoisting", () => {
    const workspace = join(scratch, "workspace");
    const versions = [
      ["the lowest supported fastify", "lowest", lowestFastify],
      ["the fastify of this repository", "newest", fastify],
    ] as const;

    beforeAll(async () => {
      const settings = [
        `packages: ["*"]`,
        "nodeLinker: isolated",
        "hoist: false",
        "storeDir: ../store",
        "cacheDir: ../cache",
      ];
      write(workspace, { "pnpm-workspace.yaml": settings.join("\n"), "package.json": `{ "private": true }` });
      for (const [, name, version] of versions) write(join(workspace, name), filesOf(name, version));
      await run("pnpm", workspace, "install", "--no-frozen-lockfile");
    }, TIMEOUT);

    it.each(versions)("compiles and runs with %s", async (_, name) => {
      await expectThatItCompilesAndRuns("pnpm", join(workspace, name));
    });
  });

  it("compiles and runs with Yarn Plug'n'Play", async () => {
    const project = join(scratch, "plug-n-play");
    const settings = [
      "nodeLinker: pnp",
      "pnpFallbackMode: none",
      "enableGlobalCache: false",
      "enableImmutableInstalls: false",
      "enableTelemetry: false",
      "npmMinimalAgeGate: 0",
    ];
    write(project, { ...filesOf("plug-n-play", fastify), ".yarnrc.yml": settings.join("\n"), "yarn.lock": "" });
    await run("yarn", project, "install");
    await expectThatItCompilesAndRuns("yarn", project);
  });
});
