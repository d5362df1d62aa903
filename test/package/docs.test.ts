import { execFile, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { beforeAll, describe, expect, inject, it } from "vitest";
import { freePort } from "../support/free-port.js";
import { missing } from "../support/missing.js";
import { ClusterProcess } from "../support/redis/cluster-process.js";
import { RedisProcess, withoutRedis } from "../support/redis/redis-process.js";
import {
  type Block,
  type Command,
  compiler,
  folderOf,
  promisedBy,
  readPages,
  root,
  scriptOf,
  writeProject,
} from "./pages.js";

const run = promisify(execFile);
const pages = readPages();
const project = join(inject("consumer"), "docs");
const problemsOf = compiler(project, pages);
const withoutCurl = missing("no bash or curl here: `apt-get install curl`", () => {
  execFileSync("bash", ["-c", "curl --version"], { stdio: "ignore" });
});

beforeAll(() => writeProject(project, inject("consumer"), pages));

/** Calls `use` with an environment whose `REDIS_URL` is that of a new Redis, if the program needs one. */
async function withRedis<T>(code: string, use: (env: NodeJS.ProcessEnv) => Promise<T>): Promise<T> {
  if (!code.includes("REDIS_URL")) return await use(process.env);
  const isCluster = /new Cluster\(|createCluster\(/.test(code);
  const redis = isCluster ? await ClusterProcess.start() : await RedisProcess.start();
  const port = redis instanceof ClusterProcess ? redis.nodes[0]!.port : redis.port;
  try {
    return await use({ ...process.env, REDIS_URL: `redis://127.0.0.1:${port}` });
  } finally {
    await redis.kill();
  }
}

async function runScript(folder: string, { file, code }: Block): Promise<void> {
  const { stdout } = await withRedis(code, (env) =>
    run(process.execPath, [join(folder, scriptOf(file))], { cwd: folder, env }),
  );
  expect(stdout.split("\n").slice(0, -1)).toEqual(promisedBy(code));
}

async function runSuite(folder: string, { file, kind }: Block): Promise<void> {
  // Without an explicit reporter, the output of node:test depends on the version of Node.js.
  const args = {
    vitest: [join(root, "node_modules/vitest/vitest.mjs"), "run", "--root", folder, file],
    jest: [join(root, "node_modules/jest/bin/jest.js"), "--rootDir", folder, "--testMatch", `**/${file}`],
    "node:test": ["--test-reporter=tap", join(folder, scriptOf(file))],
  };
  const { stdout } = await run(process.execPath, args[kind as keyof typeof args], { cwd: folder });
  if (kind === "node:test") expect(stdout).toMatch(/^# pass [1-9]/m);
}

/** Runs the commands in one shell against the service, and compares the output of each. */
async function runService(folder: string, { file, code, commands }: Block): Promise<void> {
  const port = await freePort();
  await withRedis(code, async (env) => {
    const service = spawn(process.execPath, [join(folder, scriptOf(file))], {
      cwd: folder,
      env: { ...env, PORT: String(port) },
      stdio: ["ignore", "ignore", "inherit"],
    });
    const exit = once(service, "exit");
    try {
      for (let tries = 0; !(await listens(port)); tries += 1) {
        if (service.exitCode !== null || tries === 200) throw new Error(`${file} does not listen on $PORT`);
        await sleep(50);
      }
      const script = commands.map(({ text }) => `${text.replaceAll(":3000", `:${port}`)}\nprintf '\\0'\n`).join("");
      const { stdout } = await run("bash", ["-e", "-c", script], { cwd: folder });
      const outputs = stdout.replaceAll("\r", "").replaceAll(`:${port}`, ":3000").split(/\n?\0/);
      expect(commands.map(({ text }, at) => ({ text, output: outputs[at] }))).toEqual(commands.map(expected));
    } finally {
      service.kill("SIGKILL");
      await exit;
    }
  });
}

/** In an expected output, the line `...` stands for any lines, and `...` within a line for any text of it. */
function expected({ text, output }: Command): object {
  const lines = output.trimEnd();
  if (!lines.includes("...")) return { text, output: lines };
  const pattern = lines
    .replace(/[$()*+?[\\\]^{|}]/g, "\\$&")
    .replace(/^\.\.\.$/gm, "[^]*")
    .replaceAll("...", ".*");
  return { text, output: expect.stringMatching(new RegExp(`^${pattern}$`)) as string };
}

async function listens(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: "localhost" });
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

const withPrograms = pages.filter(({ blocks }) => blocks.length > 0);

describe("the programs of the documentation, with the packed package", () => {
  for (const page of withPrograms) {
    it(`${page.path}: compiles under the strictest flags`, () => {
      expect(problemsOf(page)).toEqual([]);
    });

    it(`${page.path}: shows the use of each service`, () => {
      const services = page.blocks.filter(({ kind }) => kind === "service");
      expect(services.filter(({ commands }) => commands.length === 0).map(({ file }) => file)).toEqual([]);
    });
  }
});

describe.concurrent("the programs of the documentation, run", () => {
  for (const page of withPrograms) {
    const folder = folderOf(project, page);
    for (const block of page.blocks) {
      const name = `${page.path}: runs block ${block.number} (${block.file})`;
      const lacksRedis = block.code.includes("REDIS_URL") && withoutRedis !== undefined;
      if (block.kind === "script") it.skipIf(lacksRedis)(name, () => runScript(folder, block));
      else if (block.kind === "service") {
        // A second may pass between two commands on a busy machine, which changes the seconds in headers.
        it.skipIf(lacksRedis || withoutCurl !== undefined)(name, { retry: 2 }, () => runService(folder, block));
      } else if (block.kind !== "compiled only") it(name, () => runSuite(folder, block));
    }
  }
});
