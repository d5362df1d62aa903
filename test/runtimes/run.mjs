// Runs one conformance file on the packed tarball in every supported runtime, and the limits of hono and Next.js over HTTP. Prints
// a table. Exits with 1 on a failure.
// Usage: npm run test:runtimes [-- PART_OF_A_NAME]
//
// The runtimes come from npm, Chromium from the system (apt-get install chromium-headless-shell). Without it that row is
// skipped, unless CI is set.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";
import manifest from "../../package.json" with { type: "json" };
import { CLIENTS, conformHttp } from "./http.mjs";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "sluicegate-runtimes-"));

const VERSIONS = {
  node: ["20.20.2", "22.23.3", "24.21.0", "26.10.0"],
  bun: "1.4.5",
  deno: "2.9.6",
  miniflare: "4.20260721.0",
  next: "16.4.6",
  react: "19.3.1",
};
const NO_ENVIRONMENT = ["main.mjs", "--no-environment"];

/** The environment of a runtime, without the variables that control the bypass. */
const environment = { ...process.env, TESTING: "", NODE_ENV: "" };

async function command(name, ...args) {
  const { stdout } = await run(name, args, { cwd: folder, env: environment, timeout: 300_000 });
  return stdout;
}

/** Runs a program from an npm package of its own, so that it cannot find the files of another. */
const npx = (spec, ...args) => command("npx", "-y", "-p", spec, ...args);

const install = (...specs) =>
  command("npm", "install", "--no-save", "--no-audit", "--no-fund", "--no-package-lock", ...specs);

async function report(stdout) {
  const { checks, failures } = JSON.parse(/\{"checks".*\}/.exec(stdout)[0]);
  return { checks, failures };
}

/** The conformance file and the package as one script, for runtimes that resolve no packages. */
async function bundle(entry) {
  const name = join(folder, "entry.mjs");
  await writeFile(name, entry);
  const [{ output }] = await build({
    root: folder,
    configFile: false,
    logLevel: "error",
    build: { write: false, minify: false, target: "es2022", lib: { entry: name, formats: ["es"] } },
  });
  return output[0].code;
}

const CONFORM = `import { conform } from "./conformance.mjs";`;

/** Runs a script as an edge worker with the bindings of `options`, and sends it requests. */
async function inWorker(script, use, options = {}) {
  await install(`miniflare@${VERSIONS.miniflare}`);
  const { Miniflare } = await import(pathToFileURL(join(folder, "node_modules/miniflare/dist/src/index.js")).href);
  const miniflare = new Miniflare({ modules: true, script, compatibilityDate: "2026-01-01", ...options });
  try {
    return await use((path, headers = {}) => miniflare.dispatchFetch(`http://localhost${path}`, { headers }));
  } finally {
    await miniflare.dispose();
  }
}

async function worker() {
  const script = await bundle(`${CONFORM}
    export default { fetch: async () => Response.json(await conform({ obeysTesting: false })) };`);
  return inWorker(script, async (send) => (await send("/")).json());
}

async function honoWorker() {
  const script = await bundle(`export { app as default } from "./hono-app.mjs";`);
  return inWorker(script, (send) => conformHttp((headers) => send("/header", headers), CLIENTS));
}

/** A program of docs/recipes/workers.md with a limit of 5: 12 requests of one client at once, one more, and one of another client. */
async function recipe(file, options) {
  const page = await readFile(join(root, "docs/recipes/workers.md"), "utf8");
  const program = page.split("```").find((block) => block.startsWith(`ts\n// ${file}\n`));
  await writeFile(join(folder, file), program.slice("ts\n".length));
  const script = await bundle(`export * from "./${file}"; export { default } from "./${file}";`);
  return inWorker(
    script,
    async (send) => {
      const statusOf = async (address) => (await send("/", { "cf-connecting-ip": address })).status;
      const statuses = await Promise.all(Array.from({ length: 12 }, () => statusOf("203.0.113.7")));
      statuses.push(await statusOf("203.0.113.7"), await statusOf("203.0.113.8"));
      const [passed, refused] = [200, 429].map((status) => statuses.filter((other) => other === status).length);
      const failures = passed === 6 && refused === 8 ? [] : [`expected 200 six times and 429 eight times: ${statuses}`];
      return { checks: statuses.length, failures };
    },
    options,
  );
}

/** A route handler and a proxy, formerly called middleware, of a production build. */
async function nextjs() {
  await install(`next@${VERSIONS.next}`, `react@${VERSIONS.react}`, `react-dom@${VERSIONS.react}`);
  await command("npx", "next", "build");
  const next = join(folder, "node_modules/next/dist/bin/next");
  const server = spawn(process.execPath, [next, "start", "--port", "0"], { cwd: folder, env: environment });
  try {
    const origin = await new Promise((resolve, reject) => {
      let output = "";
      server.on("exit", () => reject(new Error(output)));
      server.stderr.on("data", (text) => (output += text));
      server.stdout.on("data", (text) => {
        output += text;
        // The address is written before the server is ready.
        if (output.includes("Ready")) resolve(/http:\/\/localhost:\d+/.exec(output)[0]);
      });
    });
    const [route, proxy] = await Promise.all(
      ["/route", "/proxied"].map((path) => conformHttp((headers) => fetch(origin + path, { headers }), CLIENTS)),
    );
    return { checks: route.checks + proxy.checks, failures: [...route.failures, ...proxy.failures] };
  } finally {
    if (server.exitCode === null && server.kill()) await once(server, "exit");
  }
}

const BROWSERS = ["chromium-headless-shell", "chromium"];

async function browser() {
  const found = [];
  for (const name of BROWSERS) {
    await run("which", [name]).then(
      ({ stdout }) => found.push(stdout.trim()),
      () => undefined,
    );
  }
  if (found.length === 0) return { skipped: `install one of ${BROWSERS.join(", ")} (apt-get install ${BROWSERS[0]})` };
  const script = await bundle(`${CONFORM}
    conform({ obeysTesting: false }).then((result) => (document.body.textContent = JSON.stringify(result)));`);
  await writeFile(join(folder, "page.html"), `<!doctype html><body><script type="module">${script}</script></body>`);
  const flags = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    `--user-data-dir=${join(folder, "profile")}`,
    "--virtual-time-budget=10000",
    "--dump-dom",
  ];
  const dom = await command(found[0], ...flags, pathToFileURL(join(folder, "page.html")).href);
  return report(dom.replaceAll("&gt;", ">").replaceAll("&lt;", "<"));
}

const deno = (...flags) => [
  `deno@${VERSIONS.deno}`,
  "deno",
  "run",
  "--no-prompt",
  "--node-modules-dir=manual",
  ...flags,
];
const RUNTIMES = [
  ...VERSIONS.node.map((version) => [`Node ${version}`, () => npx(`node@${version}`, "node", "main.mjs").then(report)]),
  [`Bun ${VERSIONS.bun}`, () => npx(`bun@${VERSIONS.bun}`, "bun", "main.mjs").then(report)],
  [`Deno ${VERSIONS.deno} --allow-env`, () => npx(...deno("--allow-env", "main.mjs")).then(report)],
  [`Deno ${VERSIONS.deno}`, () => npx(...deno(...NO_ENVIRONMENT)).then(report)],
  [`edge worker (miniflare ${VERSIONS.miniflare})`, worker],
  ["browser (headless Chromium)", browser],
  ...VERSIONS.node.map((version) => [
    `hono on Node ${version}`,
    () => npx(`node@${version}`, "node", "hono.mjs").then(report),
  ]),
  [`hono on Bun ${VERSIONS.bun}`, () => npx(`bun@${VERSIONS.bun}`, "bun", "hono.mjs").then(report)],
  [`hono on Deno ${VERSIONS.deno}`, () => npx(...deno("--allow-net=127.0.0.1", "hono.mjs")).then(report)],
  ["recipe of a Durable Object", () => recipe("counter.ts", { durableObjects: { COUNTERS: "Counter" } })],
  ["recipe of Workers KV", () => recipe("in-kv.ts", { kvNamespaces: ["LIMITS"] })],
  [`hono in an edge worker`, honoWorker],
  [`Next.js ${VERSIONS.next}`, nextjs],
];

let failed = 0;
try {
  await run("npm", ["run", "build"], { cwd: root });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  const { hono, "@hono/node-server": nodeServer } = manifest.devDependencies;
  await command(
    "npm",
    "install",
    "--no-audit",
    "--no-fund",
    "--no-package-lock",
    `./${tarball}`,
    `hono@${hono}`,
    `@hono/node-server@${nodeServer}`,
  );
  for (const name of await readdir(here)) {
    // The files of Next.js are a project, whose root is that of the package.
    await cp(join(here, name), name === "next" ? folder : join(folder, name), { recursive: true });
  }

  const [part = ""] = process.argv.slice(2);
  for (const [name, conform] of RUNTIMES.filter(([name]) => name.includes(part))) {
    const result = await conform().catch((error) => ({ checks: 0, failures: [error.stderr || error.message] }));
    const isMissing = result.skipped !== undefined && process.env.CI !== undefined;
    const isFailed = isMissing || (result.failures?.length ?? 0) > 0;
    if (isFailed) failed += 1;
    const verdict = isFailed ? "FAILED" : result.skipped === undefined ? `${result.checks} checks passed` : "skipped";
    console.log(`${name.padEnd(38)}${verdict}`);
    for (const line of result.failures ?? [result.skipped]) console.log(`    ${line}`);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
process.exitCode = failed > 0 ? 1 : 0;
