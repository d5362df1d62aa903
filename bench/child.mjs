// Runs each measurement in a separate process, so that none affects another. A process sends its results as lines of JSON.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/**
 * Runs a script of this folder, and returns its messages and how it ended: `"done"`, `"time limit"`, `"out of memory"` or `"failed"`.
 *
 * @param script - relative to `bench/`.
 * @param options.command - the runtime and its flags; default this Node.
 */
export async function run(script, args, { command = [process.execPath], flags = [], timeLimitMs = 300_000 } = {}) {
  const [program, ...more] = [...command, ...flags, fileURLToPath(new URL(script, import.meta.url)), ...args];
  const env = { ...process.env, NODE_ENV: "production", TESTING: "" };
  const child = spawn(program, more, { env, stdio: ["ignore", "pipe", "pipe"] });
  const messages = [];
  let errors = "";
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill("SIGKILL");
  }, timeLimitMs);
  createInterface({ input: child.stdout }).on(
    "line",
    (line) => line.startsWith("{") && messages.push(JSON.parse(line)),
  );
  child.stderr.on("data", (data) => (errors += data));
  const [code] = await new Promise((resolve) => {
    child.on("error", (error) => resolve([error.message]));
    child.on("close", (...ended) => resolve(ended));
  });
  clearTimeout(timer);
  const isOutOfMemory = errors.includes("heap out of memory") || errors.includes("invalid table size");
  const ended = isLate ? "time limit" : code === 0 ? "done" : isOutOfMemory ? "out of memory" : "failed";
  return { messages, ended, errors };
}

/** Runs a script and returns its last message. Throws if it fails. */
export async function result(script, args, options) {
  const { messages, ended, errors } = await run(script, args, options);
  if (ended !== "done") throw new Error(`${script} ${args.join(" ")}: ${ended}\n${errors}`);
  return messages.at(-1);
}

/** Sends a message to the parent process. */
export const send = (value) => process.stdout.write(`${JSON.stringify(value)}\n`);
