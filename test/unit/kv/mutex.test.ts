import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Mutex } from "../../../src/kv/mutex.js";

/** A section of a key: how many turns of the event loop it takes, whether it fails, and when it is called. */
const anySection = fc.record({
  key: fc.constantFrom("a", "b", "c"),
  turns: fc.nat({ max: 3 }),
  fails: fc.boolean(),
  startsAfter: fc.nat({ max: 3 }),
});

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("a mutex", () => {
  it("runs the sections of each key alone and in order, whether they fail or not, and keeps no chain", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anySection, { maxLength: 30 }), async (sections) => {
        const mutex = new Mutex();
        const inside = new Set<string>();
        const called: string[] = [];
        const run: string[] = [];
        const outcomes: Promise<unknown>[] = [];
        for (const [at, { key, turns, fails, startsAfter }] of sections.entries()) {
          for (let waited = 0; waited < startsAfter; waited += 1) await turn();
          called.push(`${key} ${at}`);
          const outcome = mutex.run(key, async () => {
            expect(inside.has(key)).toBe(false);
            inside.add(key);
            run.push(`${key} ${at}`);
            for (let waited = 0; waited < turns; waited += 1) await turn();
            inside.delete(key);
            if (fails) throw new Error(`${at}`);
            return at;
          });
          outcomes.push(outcome.catch((error: unknown) => (error as Error).message));
        }
        // Each caller gets the result of its own section.
        expect(await Promise.all(outcomes)).toEqual(sections.map(({ fails }, at) => (fails ? `${at}` : at)));
        const of = (list: readonly string[], key: string) => list.filter((name) => name.startsWith(key));
        for (const key of ["a", "b", "c"]) expect(of(run, key)).toEqual(of(called, key));
        expect([...mutex.keys()]).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  it("runs a section of another key while one does not settle, and none of its own key", async () => {
    const mutex = new Mutex();
    const ran: string[] = [];
    void mutex.run("a", () => new Promise(() => undefined));
    void mutex.run("a", () => ran.push("a"));
    await mutex.run("b", () => ran.push("b"));
    await sleep(5);
    expect([ran, [...mutex.keys()]]).toEqual([["b"], ["a"]]);
  });

  it("passes on what a section throws before its first await", async () => {
    const mutex = new Mutex();
    const failing = mutex.run("a", () => {
      throw new RangeError("no");
    });
    await expect(failing).rejects.toThrow(RangeError);
    expect(await mutex.run("a", () => "next")).toBe("next");
  });

  it("lets a section start another one of its key, which runs after it", async () => {
    const mutex = new Mutex();
    const order: string[] = [];
    let inner: Promise<unknown> | undefined;
    await mutex.run("a", () => {
      inner = mutex.run("a", () => order.push("inner"));
      order.push("outer");
    });
    await inner;
    expect(order).toEqual(["outer", "inner"]);
  });
});
