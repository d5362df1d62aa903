// A measurement in a process of its own: none finds there what another left behind. What it tells is a line of JSON each.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * Runs a script of this folder and returns what it told, and how it ended: `"done"`, `"time limit"`, or what it died of.
 *
 * @param script - relative to `bench/`.
 * @param options.command - the runtime and its flags; this Node without.
 */
export async function run(script, args, { command = [process.execPath], flags = [], timeLimitMs = 300_000 } = {}) {
  const [program, ...more] = [...command, ...flags, fileURLToPath(new URL(script, import.meta.url)), ...args];
  const env = { ...process.env, NODE_ENV: "production", TESTING: "" };
  const child = spawn(program, more, { env, stdio: ["ignore", "pipe", "pipe"] });
  const told = [];
  let errors = "";
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, timeLimitMs);
  createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("{") && told.push(JSON.parse(line)));
  child.stderr.on("data", (data) => (errors += data));
  const [code] = await new Promise((resolve) => {
    child.on("error", (error) => resolve([error.message]));
    child.on("close", (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  const isOutOfMemory = errors.includes("heap out of memory") || errors.includes("invalid table size");
  const ended = isLate ? "time limit" : code === 0 ? "done" : isOutOfMemory ? "out of memory" : "failed";
  return { told, ended, errors };
}

/** Runs a script that is to succeed, and returns the last that it told. */
export async function result(script, args, options) {
  const { told, ended, errors } = await run(script, args, options);
  if (ended !== "done") throw new Error(`${script} ${args.join(" ")}: ${ended}\n${errors}`);
  return told.at(-1);
}

/** Tells the parent. */
export const tell = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
