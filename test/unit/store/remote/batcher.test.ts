import { setTimeout as sleep } from "node:timers/promises";
import { StoreError } from "sluicegate";
import { beforeEach, describe, expect, it, vi } from "vitest";
import type { Backend, RemoteCall } from "../../../../src/store/remote/backend.js";
import { CircuitOpenError, UnreachableError } from "../../../../src/store/remote/backend.js";
import { Batcher } from "../../../../src/store/remote/batcher.js";

/** A reply to a run: the reply to each call, or a rejection. */
type Replier = (keys: readonly string[]) => Promise<readonly unknown[]>;

class UnexecutedError extends Error {}
class OutageError extends Error {}

describe("the batcher", () => {
  /** The keys of each run, in the order of sending. */
  let runs: string[][];
  let replier: Replier;
  let reported: StoreError[];
  let batcher: Batcher;

  const keysOf = (call: RemoteCall): string[] =>
    call.method === "all" ? call.members.map(({ key }) => key) : [call.key];
  const backend: Backend = {
    name: "Stand-in",
    source: "redis",
    execute: (calls) => {
      const keys = calls.flatMap(keysOf);
      runs.push(keys);
      return replier(keys);
    },
    // As in a cluster: the tag of a key.
    groupOf: (key) => (key.includes("/") ? key.split("/")[0]! : ""),
    deleteKey: async () => undefined,
    deleteAll: async () => undefined,
    failureOf: (cause) => ({
      error: cause instanceof OutageError ? new UnreachableError("down", { cause }) : new StoreError("no", { cause }),
      isOutage: cause instanceof OutageError,
      isUnexecuted: cause instanceof UnexecutedError,
    }),
    reasonInWords: String,
  };
  const state = (key: string): RemoteCall => ({ method: "state", key, longestMs: 1, locks: undefined });
  const run = (key: string, prefix = "p"): Promise<unknown> =>
    batcher.run(state(key), prefix).catch((failure: unknown) => {
      if (!(failure instanceof CircuitOpenError)) reported.push(failure as StoreError);
      throw failure;
    });
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  beforeEach(() => {
    runs = [];
    reported = [];
    replier = async (keys) => {
      await sleep(2);
      return keys.map((key) => `reply to ${key}`);
    };
    batcher = new Batcher(backend, 100);
  });

  it("sends a call at once if none is under way", async () => {
    const reply = run("a");
    expect(runs).toEqual([["a"]]);
    expect(await reply).toBe("reply to a");
    void run("b");
    expect(runs).toEqual([["a"], ["b"]]);
  });

  it("sends calls that are made while one is under way together, in order, when the turn ends", async () => {
    const replies = ["a", "b", "c", "b"].map((key) => run(key));
    expect(runs).toEqual([["a"]]);
    await turn();
    expect(runs).toEqual([["a"], ["b", "c", "b"]]);
    expect(await Promise.all(replies)).toEqual(["a", "b", "c", "b"].map((key) => `reply to ${key}`));
  });

  it.each([
    ["Cloudflare Workers", () => vi.stubGlobal("navigator", { userAgent: "Cloudflare-Workers" })],
    ["a runtime without setImmediate", () => vi.stubGlobal("setImmediate", undefined)],
  ])("sends the calls of one request together in %s, and apart from those of the next request", async (_name, stub) => {
    stub();
    for (const key of ["a", "b", "c"]) void run(key);
    await Promise.resolve();
    for (const key of ["d", "e"]) void run(key);
    await Promise.resolve();
    vi.unstubAllGlobals();
    expect(runs).toEqual([["a"], ["b", "c"], ["d", "e"]]);
  });

  it("lets no call overtake one that waits", async () => {
    const first = run("a");
    await first;
    replier = (keys) => Promise.resolve(keys);
    void run("b");
    void run("c");
    // The run of `b` ends while `c` waits.
    await Promise.resolve().then(() => undefined);
    for (let hop = 0; hop < 20; hop += 1) await Promise.resolve();
    void run("d");
    expect(runs).toEqual([["a"], ["b"]]);
    await turn();
    expect(runs).toEqual([["a"], ["b"], ["c", "d"]]);
  });

  it("sends at most 48 keys together, and keeps the keys of one call together", async () => {
    void run("first");
    const members = Array.from({ length: 5 }, (_, at) => ({ key: `m${at}` }));
    for (let at = 0; at < 46; at += 1) void run(`key ${at}`);
    void batcher.run({ method: "all", members } as never, "p");
    await turn();
    expect(runs.map(({ length }) => length)).toEqual([1, 46, 5]);
  });

  it("sends apart what has another key prefix or another group", async () => {
    void run("first");
    void run("a/1");
    void run("b/1");
    void run("a/2");
    void run("a/3", "q");
    await turn();
    expect(runs.slice(1)).toEqual([["a/1", "a/2"], ["b/1"], ["a/3"]]);
  });

  it("rejects only the call that failed, and does not count it as a failure of the server", async () => {
    replier = async (keys) => keys.map((key) => (key === "bad" ? new Error("damaged") : "fine"));
    for (let round = 0; round < 4; round += 1) {
      const outcomes = await Promise.allSettled(["a", "bad", "b"].map((key) => run(key)));
      expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    }
    expect(reported.map(({ cause }) => (cause as Error).message)).toEqual(new Array(4).fill("damaged"));
    expect(runs).toHaveLength(8);
  });

  it("sends calls that cannot be executed together alone, once", async () => {
    replier = async (keys) => {
      if (keys.length > 1 || keys[0] === "c") throw new UnexecutedError("apart");
      return keys;
    };
    const outcomes = await Promise.allSettled(["first", "a", "b", "c"].map((key) => run(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled", "rejected"]);
    expect(runs).toEqual([["first"], ["a", "b", "c"], ["a"], ["b"], ["c"]]);
    expect(reported).toHaveLength(1);
  });

  it("sends each of these calls alone, even if the client throws for one of them", async () => {
    replier = (keys) => {
      if (keys.length > 1) return Promise.reject(new UnexecutedError("apart"));
      if (keys[0] === "a") throw new Error("thrown");
      return Promise.resolve(keys);
    };
    const outcomes = await Promise.allSettled(["first", "a", "b"].map((key) => run(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
    expect(runs).toEqual([["first"], ["a", "b"], ["a"], ["b"]]);
  });

  it("sends nothing again after another failure, whose fate is unknown", async () => {
    replier = async () => Promise.reject(new OutageError("reset"));
    const outcomes = await Promise.allSettled(["first", "a", "b"].map((key) => run(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    expect(runs).toEqual([["first"], ["a", "b"]]);
    expect(reported).toHaveLength(3);
  });

  it("opens the circuit after three calls have failed, in one run or in several", async () => {
    replier = async () => Promise.reject(new OutageError("gone"));
    await expect(run("a")).rejects.toThrow("down");
    await expect(run("b")).rejects.toThrow("down");
    await expect(run("c")).rejects.toThrow("down");
    await expect(run("d")).rejects.toBeInstanceOf(CircuitOpenError);
    expect([runs.length, reported.length]).toEqual([3, 3]);

    batcher = new Batcher(backend, 100);
    replier = async (keys) => (keys[0] === "first" ? keys : Promise.reject(new OutageError("gone")));
    await Promise.allSettled(["first", "a", "b", "c"].map((key) => run(key)));
    await expect(run("d")).rejects.toBeInstanceOf(CircuitOpenError);
  });

  it("rejects the calls that wait when the circuit opens, without sending them", async () => {
    replier = async () => Promise.reject(new OutageError("gone"));
    for (const key of ["a", "b"]) await run(key).catch(() => undefined);
    const third = run("c");
    const waiting = run("d");
    await expect(third).rejects.toThrow("down");
    await expect(waiting).rejects.toBeInstanceOf(CircuitOpenError);
    expect(runs).toEqual([["a"], ["b"], ["c"]]);
  });

  it("rejects every call of a late run, drops its replies, and sends nothing again", async () => {
    let release = (): void => undefined;
    replier = (keys) =>
      keys[0] === "first"
        ? Promise.resolve(keys)
        : new Promise((_, reject) => {
            release = () => reject(new UnexecutedError("late"));
          });
    batcher = new Batcher(backend, 20);
    const outcomes = await Promise.allSettled(["first", "a", "b"].map((key) => run(key)));
    expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(String(reported[0]?.cause)).toContain("Stand-in did not reply within 20 ms");
    release();
    await turn();
    expect(runs).toEqual([["first"], ["a", "b"]]);
  });

  it("sends waiting calls at once when it is flushed", async () => {
    void run("a");
    void run("b");
    batcher.flush();
    expect(runs).toEqual([["a"], ["b"]]);
    await turn();
    expect(runs).toHaveLength(2);
  });
});
