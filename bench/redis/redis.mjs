// Starts a redis-server for a benchmark, on a free local port and without files.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";

/** Ends the program with a message if redis-server is not installed. */
export function needRedis() {
  if (spawnSync("redis-server", ["--version"]).error === undefined) return;
  console.log("skipped: redis-server is not installed: `apt-get install redis-server`, or `brew install redis`");
  process.exit(0);
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts a server. `restart()` starts it again, empty; `send()` sends it a command.
 *
 * @param {"cluster" | undefined} kind - a server of a cluster uses the port `bus` for the other servers.
 */
export async function startRedis(kind) {
  const [port, bus] = [await freePort(), await freePort()];
  const folder = await mkdtemp(join(tmpdir(), "bench-redis-"));
  const options = ["--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
  if (kind === "cluster") options.push("--cluster-enabled", "yes", "--cluster-port", bus);
  let child;
  const restart = async () => {
    await mkdir(folder, { recursive: true });
    child = spawn("redis-server", options, { stdio: "ignore" });
    const probe = new Redis(port, "127.0.0.1", { retryStrategy: () => 20, maxRetriesPerRequest: null });
    probe.on("error", () => undefined);
    await probe.ping();
    probe.disconnect();
  };
  const kill = async () => {
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
    await rm(folder, { recursive: true, force: true });
  };
  const send = async (...command) => {
    const client = new Redis(port, "127.0.0.1");
    try {
      return await client.call(...command);
    } finally {
      client.disconnect();
    }
  };
  await restart();
  return { port, bus, restart, kill, send, signal: (name) => child.kill(name) };
}

/** The processor time that a server has used, in microseconds. */
export async function cpuOf(client) {
  const info = await client.info("cpu");
  const seconds = (name) => Number(new RegExp(`${name}:([\\d.]+)`).exec(info)[1]);
  return 1e6 * (seconds("used_cpu_sys") + seconds("used_cpu_user"));
}

/** A minimal fixed-window limiter. */
export const FIXED_WINDOW = `
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return { count <= tonumber(ARGV[2]) and 1 or 0, count, redis.call('PTTL', KEYS[1]) }`;

export const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

export { sleep };
