// The rigs that need more than this process: an HTTP server under load, a Redis server, a service that is overloaded. Each is
// a program of its own, and says in one line where it is skipped.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const RIGS = {
  http: ["HTTP: the same app without a limiter, with sluicegate, with the framework's own", "http/run.mjs"],
  redis: ["Redis: 64 checks in flight beside a fixed-window script", "redis/run.mjs"],
  adaptive: ["Overload: a limit that follows the load", "adaptive/run.mjs"],
};

/** Runs one of them, shows what it prints, and returns that line by line. */
export async function rig(name) {
  const [title, script] = RIGS[name];
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
