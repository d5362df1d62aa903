import { describe, expect, it } from "vitest";
import { Mutex } from "../../src/core/mutex.js";

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setImmediate(resolve, value));

describe("a mutex", () => {
  it("runs a section at once on an idle lock and returns a synchronous value as it is", () => {
    const mutex = new Mutex();
    expect(mutex.run(() => 7)).toBe(7);
    expect(mutex.isHeld).toBe(false);
  });

  it("keeps asynchronous sections apart, in the order they came", async () => {
    const mutex = new Mutex();
    const seen: string[] = [];
    const section = (name: string) => async (): Promise<string> => {
      seen.push(`${name} in`);
      await later(undefined);
      seen.push(`${name} out`);
      return name;
    };
    const results = [mutex.run(section("a")), mutex.run(section("b")), mutex.run(() => "c"), mutex.run(section("d"))];
    expect(await Promise.all(results)).toEqual(["a", "b", "c", "d"]);
    expect(seen).toEqual(["a in", "a out", "b in", "b out", "d in", "d out"]);
  });

  it("is held until an asynchronous section settles, and idle again for who awaited it", async () => {
    const mutex = new Mutex();
    const first = mutex.run(() => later(1));
    expect(mutex.isHeld).toBe(true);
    await first;
    expect(mutex.run(() => 2)).toBe(2);
  });

  it("passes on what a section throws or rejects with, and goes on to the next", async () => {
    const mutex = new Mutex();
    expect(() =>
      mutex.run(() => {
        throw new Error("at once");
      }),
    ).toThrow("at once");
    const failing = mutex.run(async () => {
      await later(undefined);
      throw new Error("late");
    });
    const queued = mutex.run(() => {
      throw new Error("queued");
    });
    const next = mutex.run(() => "next");
    await expect(failing).rejects.toThrow("late");
    await expect(queued).rejects.toThrow("queued");
    expect(await next).toBe("next");
    expect(mutex.isHeld).toBe(false);
  });

  it("queues a section that is asked for from inside another, instead of running it in the middle", async () => {
    const mutex = new Mutex();
    const seen: string[] = [];
    let inner: unknown;
    void mutex.run(() => {
      inner = mutex.run(() => seen.push("inner"));
      seen.push("outer");
    });
    const after = mutex.run(() => seen.push("after"));
    await Promise.all([inner, after]);
    expect(seen).toEqual(["outer", "inner", "after"]);
  });

  it("lets no two of many interleaved read-wait-write sections lose an update", async () => {
    const mutex = new Mutex();
    let balance = 0;
    const deposit = async (): Promise<void> => {
      const read = balance;
      await later(undefined);
      balance = read + 1;
    };
    await Promise.all(Array.from({ length: 100 }, () => mutex.run(deposit)));
    expect(balance).toBe(100);
  });

  it("is taken at once where it is idle and not where it is held, and released to the next", async () => {
    const mutex = new Mutex();
    expect([mutex.tryHold(), mutex.tryHold(), mutex.isHeld]).toEqual([true, false, true]);
    mutex.release();
    expect(mutex.isHeld).toBe(false);
    const section = mutex.run(() => later(1));
    expect(mutex.tryHold()).toBe(false);
    await section;
    expect(mutex.tryHold()).toBe(true);
  });
});
