import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePort } from "../free-port.js";
import { RedisProcess } from "./redis-process.js";

const SLOTS = 16_384;

/** One server of a cluster, with a connection for the commands of tests. */
export interface Member {
  readonly process: RedisProcess;
  readonly admin: Redis;
  readonly id: string;
  /** The port between the servers. */
  readonly bus: number;
}

/** A Redis Cluster of three primaries on free ports, and optional replicas. */
export class ClusterProcess {
  readonly primaries: readonly Member[];
  readonly replicas: Member[] = [];
  /** The number of keys that were moved from one server to another. */
  moved = 0;
  readonly #folder: string;

  private constructor(folder: string, primaries: readonly Member[]) {
    this.#folder = folder;
    this.primaries = primaries;
  }

  static async start(): Promise<ClusterProcess> {
    const folder = await mkdtemp(join(tmpdir(), "cluster-"));
    const primaries = await Promise.all([0, 1, 2].map(() => startMember(folder)));
    const cluster = new ClusterProcess(folder, primaries);
    const bounds = [0, 1, 2, 3].map((part) => Math.round((part * SLOTS) / 3));
    for (const [at, { admin }] of primaries.entries()) {
      // With equal epochs the servers would need seconds to agree.
      await admin.call("CLUSTER", "SET-CONFIG-EPOCH", String(at + 1));
      const slots = Array.from({ length: bounds[at + 1]! - bounds[at]! }, (_, slot) => String(bounds[at]! + slot));
      await admin.call("CLUSTER", "ADDSLOTS", ...slots);
    }
    for (const { admin } of primaries.slice(1))
      await admin.call("CLUSTER", "MEET", ...address(primaries[0]!), primaries[0]!.bus);
    await cluster.settled();
    return cluster;
  }

  /** The addresses for clients. */
  get nodes(): { host: string; port: number }[] {
    return this.primaries.map(({ process }) => ({ host: "127.0.0.1", port: process.port }));
  }

  /** Adds a replica of a primary, and waits until it is synchronized. */
  async addReplica(primary: Member): Promise<Member> {
    const replica = await startMember(this.#folder);
    this.replicas.push(replica);
    await replica.admin.call("CLUSTER", "MEET", ...address(primary), primary.bus);
    await until(async () => String(await replica.admin.call("CLUSTER", "NODES")).includes(primary.id));
    await until(() => replica.admin.call("CLUSTER", "REPLICATE", primary.id));
    await until(async () => (await replica.admin.info("replication")).includes("master_link_status:up"));
    await this.settled();
    return replica;
  }

  /** The primary of a slot. */
  async ownerOf(slot: number): Promise<Member> {
    const ranges = (await this.primaries[0]!.admin.call("CLUSTER", "SLOTS")) as [number, number, [string, number]][];
    const [, , [, port]] = ranges.find(([first, last]) => first <= slot && slot <= last)!;
    return this.primaries.find(({ process }) => process.port === port)!;
  }

  /** Moves a slot in use: first each of its keys, then the slot itself. */
  async migrate(slot: number, from: Member, to: Member): Promise<void> {
    await to.admin.call("CLUSTER", "SETSLOT", slot, "IMPORTING", from.id);
    await from.admin.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to.id);
    await sleep(50);
    for (;;) {
      const keys = (await from.admin.call("CLUSTER", "GETKEYSINSLOT", slot, 5)) as string[];
      if (keys.length === 0) break;
      for (const key of keys) await from.admin.call("MIGRATE", ...address(to), key, 0, 5000);
      this.moved += keys.length;
      await sleep(5);
    }
    for (const { admin } of [to, from]) await admin.call("CLUSTER", "SETSLOT", slot, "NODE", to.id);
    await until(async () => (await this.ownerOf(slot)) === to);
  }

  /** Waits until every server reports that the cluster is complete. */
  async settled(): Promise<void> {
    const all = [...this.primaries, ...this.replicas];
    for (const { admin } of all) {
      await until(async () => {
        const info = String(await admin.call("CLUSTER", "INFO"));
        return info.includes("cluster_state:ok") && info.includes(`cluster_known_nodes:${all.length}`);
      });
    }
  }

  async kill(): Promise<void> {
    for (const { admin, process } of [...this.primaries, ...this.replicas]) {
      admin.disconnect();
      await process.kill();
    }
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function startMember(folder: string): Promise<Member> {
  const bus = await freePort();
  const process = await RedisProcess.start(
    ...["--cluster-enabled", "yes", "--cluster-port", String(bus), "--cluster-config-file", `nodes-${bus}.conf`],
    ...["--dbfilename", `dump-${bus}.rdb`, "--repl-diskless-sync-delay", "0"],
    // A replica that was stopped for a while may still take over: the tests measure the effect of its lag.
    ...["--dir", folder, "--cluster-node-timeout", "1000", "--cluster-replica-validity-factor", "0"],
  );
  const admin = new Redis({ port: process.port, host: "127.0.0.1", retryStrategy: () => 100 });
  admin.on("error", () => undefined);
  return { process, admin, id: String(await admin.call("CLUSTER", "MYID")), bus };
}

function address({ process }: Member): [host: string, port: number] {
  return ["127.0.0.1", process.port];
}

/** Waits until a condition holds. An error counts as false. */
export async function until(holds: () => Promise<unknown>, withinMs = 20_000): Promise<void> {
  for (const end = Date.now() + withinMs; ; await sleep(20)) {
    if (await holds().catch(() => false)) return;
    if (Date.now() > end) throw new Error(`The condition did not hold within ${withinMs} ms: ${holds.toString()}`);
  }
}
