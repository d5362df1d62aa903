// Runs one conformance file on the packed tarball in every supported runtime, and prints a table. Exits with 1 on a failure.
// Usage: npm run test:runtimes
//
// The runtimes come from npm, Chromium from the system (apt-get install chromium-headless-shell). Without it that row is
// skipped, unless CI is set.
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { build } from "vite";

const run = promisify(execFile);
const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../", import.meta.url));
const folder = await mkdtemp(join(tmpdir(), "sluicegate-runtimes-"));

const VERSIONS = {
  node: ["20.20.2", "22.23.3", "24.21.0", "26.10.0"],
  bun: "1.4.5",
  deno: "2.9.6",
  miniflare: "4.20260721.0",
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

async function worker() {
  const script = await bundle(`${CONFORM}
    export default { fetch: async () => Response.json(await conform({ obeysTesting: false })) };`);
  await command("npm", "install", "--no-save", "--no-audit", "--no-fund", `miniflare@${VERSIONS.miniflare}`);
  const { Miniflare } = await import(pathToFileURL(join(folder, "node_modules/miniflare/dist/src/index.js")).href);
  const miniflare = new Miniflare({ modules: true, script, compatibilityDate: "2026-01-01" });
  try {
    return await (await miniflare.dispatchFetch("http://localhost/")).json();
  } finally {
    await miniflare.dispose();
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
];

let failed = 0;
try {
  await run("npm", ["run", "build"], { cwd: root });
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], { cwd: root });
  const tarball = (await readdir(folder)).find((name) => name.endsWith(".tgz"));
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }));
  await command("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", `./${tarball}`);
  for (const name of ["conformance.mjs", "main.mjs"]) await copyFile(join(here, name), join(folder, name));

  for (const [name, conform] of RUNTIMES) {
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
