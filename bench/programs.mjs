// The benchmarks that need more than this process: an HTTP server under load, a Redis server, an overloaded service. Each is a
// separate program, and prints one line if it is skipped.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const PROGRAMS = {
  http: ["HTTP: the same app without a limiter, with sluicegate, with the framework's own", "http/run.mjs"],
  redis: ["Redis: 64 checks in flight compared with a fixed-window script", "redis/run.mjs"],
  adaptive: ["Overload: a limit that follows the load", "adaptive/run.mjs"],
};

/** Runs one of them, prints its output, and returns the lines. */
export async function runProgram(name) {
  const [title, script] = PROGRAMS[name];
  console.log(`\n${title}\n`);
  const child = spawn(process.execPath, [fileURLToPath(new URL(script, import.meta.url)), "--short"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const lines = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    console.log(line);
    lines.push(line);
  });
  const code = await new Promise((resolve) => child.on("close", resolve));
  if (code !== 0) lines.push(`failed with code ${code}`);
  return lines;
}
