import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { freePort } from "../free-port.js";
import { until } from "./cluster-process.js";
import { RedisProcess } from "./redis-process.js";

/** A primary, its replica and a sentinel that promotes the replica when the primary is gone for half a second. */
export class SentinelProcess {
  static readonly group = "limits";
  readonly primary: RedisProcess;
  readonly replica: RedisProcess;
  readonly sentinel: RedisProcess;
  readonly #folder: string;

  private constructor(folder: string, primary: RedisProcess, replica: RedisProcess, sentinel: RedisProcess) {
    this.#folder = folder;
    this.primary = primary;
    this.replica = replica;
    this.sentinel = sentinel;
  }

  static async start(): Promise<SentinelProcess> {
    const folder = await mkdtemp(join(tmpdir(), "sentinel-"));
    const primary = await RedisProcess.start("--repl-diskless-sync-delay", "0", "--dir", folder);
    const replica = await RedisProcess.start("--replicaof", "127.0.0.1", String(primary.port), "--dir", folder);
    await withClient(replica, async (redis) =>
      until(async () => (await redis.info("replication")).includes("master_link_status:up")),
    );
    const config = join(folder, "sentinel.conf");
    await writeFile(
      config,
      [
        `sentinel monitor ${this.group} 127.0.0.1 ${primary.port} 1`,
        `sentinel down-after-milliseconds ${this.group} 500`,
        `sentinel failover-timeout ${this.group} 3000`,
      ].join("\n"),
    );
    const sentinel = await RedisProcess.startBy(await freePort(), [config, "--sentinel"]);
    const cluster = new SentinelProcess(folder, primary, replica, sentinel);
    await withClient(sentinel, async (redis) =>
      until(async () => String(await redis.call("SENTINEL", "REPLICAS", this.group)).includes(`${replica.port}`)),
    );
    return cluster;
  }

  async kill(): Promise<void> {
    for (const process of [this.sentinel, this.replica, this.primary]) {
      process.signal("SIGCONT");
      await process.kill();
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function withClient(process: RedisProcess, use: (redis: Redis) => Promise<unknown>): Promise<void> {
  const redis = new Redis(process.port, "127.0.0.1");
  try {
    await use(redis);
  } finally {
    redis.disconnect();
  }
}
