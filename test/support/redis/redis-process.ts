import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createConnection } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { freePort } from "../free-port.js";
import { missing } from "../missing.js";

/** The reason why tests cannot use a real Redis here, or undefined if they can. */
export const withoutRedis: string | undefined = missing(
  "redis-server is missing: `apt-get install redis-server`, or `brew install redis`",
  () => execFileSync("redis-server", ["--version"], { stdio: "ignore" }),
);

/** A redis-server on a free port, without persistence. */
export class RedisProcess {
  readonly port: number;
  readonly #options: readonly string[];
  #child: ChildProcess | undefined;

  private constructor(port: number, options: readonly string[]) {
    this.port = port;
    this.#options = options;
  }

  static async start(...options: readonly string[]): Promise<RedisProcess> {
    return RedisProcess.startBy(await freePort(), ["--save", "", "--appendonly", "no", ...options]);
  }

  /** Starts a server on this port with these arguments. The first may be a configuration file. */
  static async startBy(port: number, options: readonly string[]): Promise<RedisProcess> {
    const redis = new RedisProcess(port, options);
    await redis.restart();
    return redis;
  }

  /** Restarts the server, empty, on its port. */
  async restart(): Promise<void> {
    const where = ["--port", String(this.port), "--bind", "127.0.0.1"];
    this.#child = spawn("redis-server", [...this.#options, ...where], { stdio: "ignore" });
    for (let tries = 0; !(await isReady(this.port)); tries += 1) {
      if (tries === 200) throw new Error(`redis-server did not start on port ${this.port}`);
      await sleep(20);
    }
  }

  /** Sends a signal: SIGSTOP stops the process, SIGCONT continues it. */
  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Kills the server without a shutdown. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.kill("SIGKILL");
    await exited;
  }
}

async function isReady(port: number): Promise<boolean> {
  const socket = createConnection({ port, host: "127.0.0.1" });
  try {
    socket.write("PING\r\n");
    const [reply] = (await once(socket, "data")) as [Buffer];
    return reply.toString() === "+PONG\r\n";
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
