import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createConnection, createServer, type AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** A redis-server on a free port that can be killed and restarted, empty. */
export class RedisServer {
  readonly port: number;
  #process: ChildProcess | undefined;

  private constructor(port: number) {
    this.port = port;
  }

  /** @throws Error that says how to install redis-server if it is missing. */
  static async start(): Promise<RedisServer> {
    const probe = createServer().listen(0, "127.0.0.1");
    await once(probe, "listening");
    const { port } = probe.address() as AddressInfo;
    probe.close();
    const redis = new RedisServer(port);
    await redis.restart();
    return redis;
  }

  async restart(): Promise<void> {
    const where = ["--port", String(this.port), "--bind", "127.0.0.1"];
    const child = spawn("redis-server", [...where, "--save", "", "--appendonly", "no"], { stdio: "ignore" });
    this.#process = child;
    await Promise.race([this.#isReachable(), failureOf(child)]);
  }

  /** Kills the server without a shutdown. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child?.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  }

  async #isReachable(): Promise<void> {
    for (let tries = 0; tries < 200; tries += 1, await sleep(20)) {
      const socket = createConnection({ port: this.port, host: "127.0.0.1" });
      try {
        await once(socket, "connect");
        return;
      } catch {
        continue;
      } finally {
        socket.destroy();
      }
    }
    throw new Error(`redis-server did not start on port ${String(this.port)}`);
  }
}

async function failureOf(child: ChildProcess): Promise<never> {
  return new Promise((_, reject) => {
    child.once("error", () => {
      reject(new Error("redis-server is not installed. `apt-get install redis-server`, or `brew install redis`."));
    });
    child.once("exit", (code) => reject(new Error(`redis-server ended with ${String(code)}`)));
  });
}
