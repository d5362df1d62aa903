import { afterEach, describe, expect, it, vi } from "vitest";
import { allOf, AsyncRateLimiter, MemoryStore, StoreError } from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";

function limiters() {
  const store = new MemoryStore({ clock: new ManualClock() });
  const limiter = (name: string) =>
    new AsyncRateLimiter({ maxCalls: 10_000, period: "1m", name, store, bypass: false });
  return { store, login: limiter("login"), search: limiter("search") };
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("a MemoryStore that cannot allocate memory", () => {
  /** Makes the allocation of a larger page fail. */
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

  it("rejects with a StoreError, and records no part of the call", async () => {
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
    // A call that fits is recorded, and with memory again, every call is.
    expect((await login.check("bob", { cost: 100 })).remaining).toBe(9900);
    vi.unstubAllGlobals();
    expect((await login.check("ada", { cost: 5000 })).remaining).toBe(4997);
    expect(store.size).toBe(2);
  });

  it("records no call of allOf if one of them fails", async () => {
    const { login, search } = limiters();
    const both = allOf({ login, search });
    limitPages(1000);
    await login.check("ada", { cost: 100 });
    await search.check("ada", { cost: 500 });
    await expect(both.check({ login: "ada", search: "ada" }, { cost: 50 })).rejects.toThrow(StoreError);
    expect([(await login.state("ada")).calls, (await search.state("ada")).calls]).toEqual([100, 500]);
  });
});
