import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server } from "node:net";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, inject, it } from "vitest";
import { type ObservedCall, violationsOf } from "../../support/model.js";

const run = promisify(execFile);
const WORKER = fileURLToPath(new URL("key-value-worker.mjs", import.meta.url));
const LIMITS = [
  { name: "Burst", maxCalls: 6, periodMs: 100 },
  { name: "Long", maxCalls: 40, periodMs: 1000 },
];

type Request = [id: number, method: string, key: string, ...words: unknown[]];

/** A key-value store of this process, which sockets use. Each request takes place at a random instant. */
function keyValueServer(): Server {
  const texts = new Map<string, { readonly value: unknown; readonly version: number }>();
  let latest = 0;
  const write = (key: string, value: unknown): void => void texts.set(key, { value, version: (latest += 1) });
  const methods: Readonly<Record<string, (key: string, ...words: unknown[]) => unknown>> = {
    get: (key) => texts.get(key) ?? null,
    set: write,
    compareAndSet: (key, version, value) => {
      const isUnchanged = (texts.get(key)?.version ?? null) === version;
      if (isUnchanged) write(key, value);
      return isUnchanged;
    },
    delete: (key) => texts.delete(key),
  };
  return createServer((socket) => {
    socket.on("error", () => undefined);
    createInterface({ input: socket }).on("line", (line) => {
      const [id, method, key, ...words] = JSON.parse(line) as Request;
      setTimeout(() => {
        socket.write(`${JSON.stringify([id, methods[method]!(key, ...words) ?? null])}\n`);
      }, 2 * Math.random());
    });
  });
}

describe("processes with 50 callers each on 20 keys of one key-value store", () => {
  let server: Server;
  beforeEach(async () => {
    server = keyValueServer().listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(() => server.close());

  /** @param offsets - by how much the clock of each process is ahead. */
  const historyOf = async (kind: "compareAndSet" | "set", seconds: number, offsets: readonly number[]) => {
    const { port } = server.address() as AddressInfo;
    const histories = await Promise.all(
      offsets.map(async (offset) => {
        const words = [WORKER, inject("distribution"), port, kind, seconds, offset, JSON.stringify(LIMITS)];
        const { stdout } = await run(process.execPath, words.map(String), { maxBuffer: 2 ** 28 });
        return JSON.parse(stdout) as ObservedCall[];
      }),
    );
    return histories.flat();
  };

  const expectLoad = (calls: readonly ObservedCall[]): void => {
    const admitted = calls.filter((call) => call.admitted).length;
    // Both layers refuse calls, and every key exceeds its limit.
    expect(admitted).toBeGreaterThan(20 * 40 * 2);
    expect(calls.length).toBeGreaterThan(1.2 * admitted);
  };

  it("admit no call too many and refuse none too many, if there are four and the store has compareAndSet", async () => {
    const calls = await historyOf("compareAndSet", 4, [0, 0, 0, 0]);
    expectLoad(calls);
    expect(violationsOf(calls, LIMITS)).toEqual([]);
  });

  it("admit no call too many in a window that is shorter by the difference of their clocks", async () => {
    const calls = await historyOf("compareAndSet", 4, [0, 10, 20, 30]);
    const shorter = LIMITS.map((limit) => ({ ...limit, periodMs: limit.periodMs - 30 }));
    const longer = LIMITS.map((limit) => ({ ...limit, periodMs: limit.periodMs + 30 }));
    expect(violationsOf(calls, shorter).filter((fault) => fault.includes("admitted within"))).toEqual([]);
    expect(violationsOf(calls, longer).filter((fault) => fault.includes("refused"))).toEqual([]);
  });

  it("admit no call too many and refuse none too many, if there is one and the store has no compareAndSet", async () => {
    const calls = await historyOf("set", 4, [0]);
    expectLoad(calls);
    expect(violationsOf(calls, LIMITS)).toEqual([]);
  });

  it("admit calls too many, if there are four and the store has no compareAndSet", async () => {
    const faults = violationsOf(await historyOf("set", 1, [0, 0, 0, 0]), LIMITS);
    expect(faults.filter((fault) => fault.includes("admitted within")).length).toBeGreaterThan(10);
  });
});
