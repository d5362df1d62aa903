import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { allOf, AsyncRateLimiter, MemoryStore, StoreError } from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";

function limiters() {
  const store = new MemoryStore({ clock: new ManualClock() });
  const limiter = (name: string) =>
    new AsyncRateLimiter({ maxCalls: 10_000, period: "1m", name, store, bypass: false });
  return { store, login: limiter("login"), search: limiter("search") };
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a MemoryStore without memory for another call", () => {
  /** Lets no page be made that is larger than this. */
  function limitPages(most: number): void {
    const Real = Float64Array;
    vi.stubGlobal(
      "Float64Array",
      new Proxy(Real, {
        construct: (target, [length]: [number]) => {
          if (length > most) throw new RangeError("Array buffer allocation failed");
          return new target(length);
        },
      }),
    );
  }

  it("says so in a StoreError, and has recorded nothing of a cost that it could not record whole", async () => {
    const { store, login } = limiters();
    await login.check("ada", { cost: 3 });
    limitPages(1000);
    for (const verb of ["check", "isAllowed"] as const) {
      const failing = login[verb]("ada", { cost: 5000 });
      await expect(failing).rejects.toThrow(StoreError);
      await expect(failing).rejects.toMatchObject({ message: "There is no memory to record another call in" });
    }
    expect((await login.state("ada")).calls).toBe(3);
    await expect(login.check("bob", { cost: 5000 })).rejects.toThrow(StoreError);
    expect((await login.state("bob")).calls).toBe(0);
    // What fits is recorded, and once there is memory again, all is.
    expect((await login.check("bob", { cost: 100 })).remaining).toBe(9900);
    vi.unstubAllGlobals();
    expect((await login.check("ada", { cost: 5000 })).remaining).toBe(4997);
    expect(store.size).toBe(2);
  });

  it("takes back what the others of allOf have spent", async () => {
    const { login, search } = limiters();
    const both = allOf({ login, search });
    limitPages(1000);
    await login.check("ada", { cost: 100 });
    await search.check("ada", { cost: 500 });
    await expect(both.check({ login: "ada", search: "ada" }, { cost: 50 })).rejects.toThrow(StoreError);
    expect([(await login.state("ada")).calls, (await search.state("ada")).calls]).toEqual([100, 500]);
  });
});

describe("a MemoryStore in which the stack overflowed", () => {
  let warned: unknown[];

  beforeEach(() => {
    warned = [];
    vi.spyOn(process, "emitWarning").mockImplementation((warning) => void warned.push(warning));
  });

  /** Calls at every depth near the end of the stack, as a caller does that recursed too deep, caught that, and went on. */
  function overflow(call: (attempt: number) => void): number {
    let [attempts, failed] = [0, 0];
    const dive = (): void => {
      try {
        dive();
      } catch {
        // The end of the stack, or of a call.
      }
      if (attempts === 150) return;
      try {
        attempts += 1;
        call(attempts);
      } catch {
        failed += 1;
      }
    };
    dive();
    return failed;
  }

  it("goes on to count every key for itself", async () => {
    for (let round = 0; round < 20; round += 1) {
      const { store, login } = limiters();
      for (let key = 0; key < 50; key += 1) login.checkSync(`before ${key}`, { cost: 1 + (key % 4) });
      const failed = overflow((attempt) => login.checkSync(`deep ${round} ${attempt}`, { cost: 1 + (attempt % 9) }));
      expect(failed).toBeGreaterThan(0);

      const keys = Array.from({ length: 100 }, (_, at) => `after ${at}`);
      for (const key of keys) login.checkSync(key, { cost: 7 });
      for (const key of keys) expect((await login.state(key)).calls).toBe(7);
      const { size } = store;
      for (const key of keys) await login.reset(key);
      for (const key of keys) expect((await login.state(key)).calls).toBe(0);
      expect(store.size).toBe(size - 100);
      await login.reset();
      expect(store.size).toBe(0);
    }
  });

  it("forgets the keys of that limiter, and says so", async () => {
    const { store, login, search } = limiters();
    login.checkSync("ada", { cost: 5 });
    search.checkSync("ada", { cost: 5 });
    vi.spyOn(Map.prototype, "set").mockImplementationOnce(() => {
      throw new RangeError("Maximum call stack size exceeded");
    });
    expect(() => login.checkSync("bob")).toThrow(RangeError);
    expect([(await login.state("ada")).calls, (await search.state("ada")).calls]).toEqual([0, 5]);
    expect(store.size).toBe(1);
    expect(warned).toEqual(["A MemoryStore has forgotten the keys of one limiter"]);
  });
});
