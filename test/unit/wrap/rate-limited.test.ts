import { describe, expect, it, vi } from "vitest";
import {
  AsyncRateLimiter,
  type Decision,
  type LimiterLike,
  rateLimited,
  type RateLimitedOptions,
  RateLimitExceededError,
  StoreError,
} from "../../../src/index.js";
import { ManualClock } from "../../../src/testing/index.js";
import type * as Decorated from "./decorated.js";

const limiterOf = (maxCalls: number, clock = new ManualClock()) =>
  new AsyncRateLimiter({ maxCalls, period: "1h", clock, bypass: false });

describe("a wrapped function", () => {
  it("is called up to the limit of its key, and rejects with a RateLimitExceededError beyond", async () => {
    const called: string[] = [];
    const send = rateLimited(
      limiterOf(2),
      (email: string) => email,
    )((email: string, subject: string) => {
      called.push(`${email} ${subject}`);
      return called.length;
    });
    expect(await send("ada", "a")).toBe(1);
    expect(await send("ada", "b")).toBe(2);
    const error: unknown = await send("ada", "c").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RateLimitExceededError);
    expect(error).toMatchObject({
      retryAfter: 3600,
      decision: { allowed: false },
      message: "Rate limit exceeded: retry after 3600 s",
    });
    expect(await send("grace", "d")).toBe(3);
    expect(called).toEqual(["ada a", "ada b", "grace d"]);
  });

  it("keeps this, name and length, and returns a promise", async () => {
    const limit = rateLimited(limiterOf(9), (a: number) => String(a));
    const add = limit(function add(this: { base: number }, a: number, b: number) {
      return this.base + a + b;
    });
    expect([add.name, add.length]).toEqual(["add", 2]);
    const sum = add.call({ base: 100 }, 1, 2);
    expect(sum).toBeInstanceOf(Promise);
    expect(await sum).toBe(103);
  });

  it("rejects with the error of the function, and the call stays counted", async () => {
    const limiter = limiterOf(2);
    const limit = rateLimited(limiter, () => "ada");
    await expect(
      limit(() => {
        throw new Error("at once");
      })(),
    ).rejects.toThrow("at once");
    await expect(limit(() => Promise.reject(new Error("later")))()).rejects.toThrow("later");
    expect((await limiter.state("ada")).calls).toBe(2);
  });

  it("awaits an asynchronous key, and rejects without a call if keyOf throws", async () => {
    const limiter = limiterOf(1);
    const called = vi.fn();
    const keyed = rateLimited(limiter, async (id: number) => Promise.resolve(`user:${id}`))(called);
    await keyed(7);
    await expect(keyed(7)).rejects.toThrow(RateLimitExceededError);
    const wrapped = rateLimited(limiter, (): string => {
      throw new Error("no such user");
    })(called);
    await expect(wrapped()).rejects.toThrow("no such user");
    expect(called).toHaveBeenCalledTimes(1);
  });

  it("rejects with a TypeError without a call if keyOf returns no string", async () => {
    const called = vi.fn();
    const wrapped = rateLimited(limiterOf(1), () => undefined as unknown as string)(called);
    await expect(wrapped()).rejects.toThrow("Expected `key` to be a string, got `undefined` (undefined)");
    expect(called).not.toHaveBeenCalled();
  });

  it("rejects with the error of the store without a call, which is not a refusal", async () => {
    const called = vi.fn();
    const down: LimiterLike = { check: () => Promise.reject(new StoreError("The store is gone")) };
    const onRefused = vi.fn();
    await expect(rateLimited(down, () => "ada", { onRefused })(called)()).rejects.toThrow(StoreError);
    expect(called).not.toHaveBeenCalled();
    expect(onRefused).not.toHaveBeenCalled();
  });

  it("uses the limiter of its instance", async () => {
    class Mailer {
      readonly limiter = limiterOf(1);
      readonly send = rateLimited(
        (self: Mailer) => self.limiter,
        (to: string) => to,
      )(function (this: Mailer, to: string) {
        return to;
      });
    }
    const [one, other] = [new Mailer(), new Mailer()];
    expect(await one.send("ada")).toBe("ada");
    await expect(one.send("ada")).rejects.toThrow(RateLimitExceededError);
    expect(await other.send("ada")).toBe("ada");
  });

  it("is called if its limiter bypasses the call or is in shadow mode", async () => {
    const open = new AsyncRateLimiter({ maxCalls: 0, period: "1h", bypass: () => true });
    const shadow = new AsyncRateLimiter({ maxCalls: 0, period: "1h", mode: "shadow" });
    expect(await rateLimited(open, () => "ada")(() => 1)()).toBe(1);
    expect(await rateLimited(shadow, () => "ada")(() => 2)()).toBe(2);
  });
});

describe("the options of rateLimited", () => {
  it("message is the text of the error", async () => {
    const message = "Too many password reset requests. Please try again in an hour.";
    const reset = rateLimited(limiterOf(0), (email: string) => email, { message })(() => undefined);
    await expect(reset("ada")).rejects.toThrow(
      new RateLimitExceededError(await limiterOf(0).check("ada"), { message }),
    );
  });

  it("onRefused provides the result or the error of a refused call", async () => {
    const refused: [Decision, readonly unknown[]][] = [];
    const queued = rateLimited(limiterOf(1), (email: string) => email, {
      onRefused: (decision, args) => {
        refused.push([decision, args]);
        return "queued" as const;
      },
    })((email: string, body: string) => ({ email, body }));
    expect(await queued("ada", "one")).toEqual({ email: "ada", body: "one" });
    expect(await queued("ada", "two")).toBe("queued");
    expect(refused).toMatchObject([[{ allowed: false, retryAfterMs: 3_600_000 }, ["ada", "two"]]]);

    const named = rateLimited(limiterOf(0), () => "ada", {
      onRefused(this: unknown) {
        return (this as { name: string }).name;
      },
    })(() => "done");
    expect(await named.call({ name: "Ada" })).toBe("Ada");

    const strict = rateLimited(limiterOf(0), () => "ada", {
      onRefused: () => Promise.reject(new Error("mine")),
    })(() => 1);
    await expect(strict()).rejects.toThrow("mine");
  });

  it("maxCalls is a number, or a function of the arguments that may be asynchronous", async () => {
    const limiter = limiterOf(1);
    const keyOf = ({ id }: { id: string; calls: number }): string => id;
    const at = (calls: number): { id: string; calls: number } => ({ id: "ada", calls });
    const fixed = rateLimited(limiter, () => "ada", { maxCalls: 2 })(() => 1);
    const own = rateLimited(limiter, keyOf, { maxCalls: ({ calls }) => calls })(() => 1);
    const later = rateLimited(limiter, keyOf, {
      maxCalls: async ({ calls }) => Promise.resolve(calls),
    })(() => 1);
    await fixed();
    await fixed();
    await expect(fixed()).rejects.toMatchObject({ decision: { limit: { maxCalls: 2 } } });
    await own(at(3));
    await later(at(4));
    await expect(own(at(4))).rejects.toMatchObject({ decision: { limit: { maxCalls: 4 } } });
    const waiting = rateLimited(limiter, keyOf, {
      maxCalls: ({ calls }) => calls,
      wait: { timeout: "1s" },
    });
    expect(await waiting(() => 1)(at(5))).toBe(1);
    await expect(waiting(() => 1)(at(0))).rejects.toMatchObject({ waitFailedBy: "cost" });
    expect(await limiter.state("ada")).toMatchObject({ calls: 5 });
    // No other limit than the one that was meant.
    for (const lost of [() => undefined, async () => Promise.resolve(undefined)]) {
      const call = rateLimited(limiterOf(1), () => "ada", { maxCalls: lost as never })(() => 1);
      await expect(call()).rejects.toThrow(
        /^Expected `maxCalls\(...args\)` to be a non-negative integer, got `undefined`/,
      );
    }
  });

  it("cost is a number or a function of the arguments", async () => {
    const limiter = limiterOf(10);
    await rateLimited(limiter, () => "ada", { cost: 4 })(() => 1)();
    const copy = rateLimited(limiter, (files: string[]) => files[0] ?? "ada", { cost: (files) => files.length })(
      () => 1,
    );
    await copy(["ada", "b", "c", "d"]);
    expect((await limiter.peek("ada")).remaining).toBe(2);
    await expect(copy(["ada", "b", "c"])).rejects.toThrow(RateLimitExceededError);
    await expect(copy([])).rejects.toThrow(RangeError);
  });

  it("refundWhen refunds a call by its outcome: here only failed logins count", async () => {
    const limiter = limiterOf(2);
    const login = rateLimited(limiter, (email: string) => email, {
      refundWhen: (outcome: PromiseSettledResult<boolean>) => outcome.status === "fulfilled" && outcome.value,
    })(async (email: string, password: string) => {
      if (password === "") throw new Error("empty");
      return Promise.resolve(email === "ada" && password === "right");
    });
    for (let call = 0; call < 5; call += 1) expect(await login("ada", "right")).toBe(true);
    expect(await login("ada", "wrong")).toBe(false);
    await expect(login("ada", "")).rejects.toThrow("empty");
    await expect(login("ada", "right")).rejects.toThrow(RateLimitExceededError);
  });

  it("a failing refund, or a refundWhen that throws or returns no boolean, changes no outcome", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    const limiter = limiterOf(9);
    const broken: LimiterLike = {
      check: (key) => limiter.check(key),
      refund: () => Promise.reject(new StoreError("The store is gone")),
    };
    const failing = (): boolean => {
      throw new Error("bad rule");
    };
    const cases: [LimiterLike, () => boolean][] = [
      [broken, () => true],
      [limiter, failing],
      [limiter, (() => Promise.resolve(true)) as unknown as () => boolean],
      // Vitest fails if the rejection is unhandled.
      [limiter, (() => Promise.reject(new Error("late"))) as unknown as () => boolean],
    ];
    for (const [used, refundWhen] of cases) {
      const limit = rateLimited(used, () => "ada", { refundWhen });
      expect(await limit(() => "done")()).toBe("done");
      await expect(limit(() => Promise.reject(new Error("mine")))()).rejects.toThrow("mine");
    }
    expect(warned).toHaveBeenCalledTimes(8);
    expect((await limiter.state("ada")).calls).toBe(8);
  });

  it("refundWhen is not called for a refused call", async () => {
    const refundWhen = vi.fn(() => true);
    await expect(rateLimited(limiterOf(0), () => "ada", { refundWhen })(() => 1)()).rejects.toThrow();
    expect(refundWhen).not.toHaveBeenCalled();
  });
});

describe("rateLimited with the option wait", () => {
  it("delays calls instead of refusing them", async () => {
    const clock = new ManualClock();
    const limiter = limiterOf(1, clock);
    const at: number[] = [];
    const call = rateLimited(limiter, (host: string) => host, { wait: true })(() => at.push(clock.now()));
    const calls = [1, 2, 3].map(() => call("api.example.org"));
    for (let hour = 0; hour < 3; hour += 1) {
      await new Promise((resolve) => setImmediate(resolve));
      clock.advance("1h");
    }
    await Promise.all(calls);
    expect(at).toEqual([0, 3_600_000, 7_200_000].map((ms) => expect.closeTo(ms, -7) as number));
    expect(at).toHaveLength(3);
  });

  it("refuses a call by message and onRefused if it would exceed the timeout or maxQueue", async () => {
    const limiter = limiterOf(1);
    const message = "Come back later";
    const call = rateLimited(limiter, () => "ada", { wait: { timeout: "10s" }, message })(() => "done");
    expect(await call()).toBe("done");
    await expect(call()).rejects.toThrow(
      new RateLimitExceededError(await limiter.peek("ada"), { message, waitFailedBy: "timeout" }),
    );
    const queued = rateLimited(limiter, () => "ada", { wait: { maxQueue: 0 }, onRefused: () => "queued" })(
      () => "done",
    );
    expect(await queued()).toBe("queued");
  });

  it("rejects with an error whose waitFailedBy has the cause of a failed wait", async () => {
    const limiter = limiterOf(1);
    const call = (wait: RateLimitedOptions<[]>["wait"], cost = 1): Promise<string> =>
      rateLimited(limiter, () => "ada", { wait, cost })(() => "done")();
    await call(true);
    await expect(call({ timeout: "10s" })).rejects.toMatchObject({ waitFailedBy: "timeout" });
    await expect(call({ maxQueue: 0 })).rejects.toMatchObject({
      waitFailedBy: "queue-full",
      message: "Rate limit exceeded: the queue is full (maxQueue is 0)",
    });
    await expect(call(true, 2)).rejects.toMatchObject({ waitFailedBy: "cost" });
    await expect(rateLimited(limiter, () => "ada")(() => "done")()).rejects.toMatchObject({ waitFailedBy: null });
  });

  it("rejects with the error of the store, and refunds by refundWhen", async () => {
    const broken: LimiterLike = {
      check: () => Promise.reject(new Error("not called")),
      acquire: () => Promise.reject(new StoreError("The store is gone")),
    };
    await expect(rateLimited(broken, () => "ada", { wait: true })(() => 1)()).rejects.toThrow(StoreError);
    const limiter = limiterOf(1);
    const free = rateLimited(limiter, () => "ada", { wait: true, refundWhen: () => true })(() => 1);
    for (let call = 0; call < 3; call += 1) expect(await free()).toBe(1);
    const dear = limiterOf(5);
    await rateLimited(dear, () => "ada", { wait: { timeout: "1s" }, cost: 4 })(() => 1)();
    expect((await dear.state("ada")).calls).toBe(4);
  });

  it.each([
    [{ wait: 5 }, TypeError],
    [{ wait: null }, TypeError],
    [{ wait: { timeout: 5 } }, TypeError],
    [{ wait: { timeout: "1y" } }, RangeError],
    [{ wait: { maxQueue: -1 } }, RangeError],
    [{ wait: { signal: AbortSignal.abort() } }, TypeError],
  ])("throws at construction for %o", (options, kind) => {
    expect(() => rateLimited(limiterOf(1), () => "ada", options as RateLimitedOptions<[]>)).toThrow(kind);
  });

  it("throws if the limiter has no acquire", () => {
    const limiter: LimiterLike = { check: (key) => limiterOf(1).check(key) };
    expect(() => rateLimited(limiter, () => "ada", { wait: true })).toThrow(/`acquire` function, which `wait` needs/);
  });
});

describe("the arguments of rateLimited", () => {
  const key = (): string => "ada";
  it.each([undefined, null, {}, { check: 1 }, "limiter"])("throw a TypeError if the limiter is %o", (limiter) => {
    expect(() => rateLimited(limiter as unknown as LimiterLike, key)).toThrow(/^Expected `limiter` to be a limiter/);
  });

  it("reject the call with a TypeError if the function of this returns no limiter", async () => {
    const called = vi.fn();
    const wrapped = rateLimited((self: { limiter?: LimiterLike }) => self.limiter as LimiterLike, key)(called);
    await expect(wrapped.call({})).rejects.toThrow(/^Expected `limiter\(this\)` to be a limiter/);
    expect(called).not.toHaveBeenCalled();
  });

  it("throw a TypeError if refundWhen is set and the limiter has no refund", () => {
    const check = (name: string): Promise<Decision> => limiterOf(1).check(name);
    expect(() => rateLimited({ check }, key, { refundWhen: () => true })).toThrow(/`refund` function/);
    expect(() => rateLimited({ check }, key)).not.toThrow();
  });

  it.each([
    [undefined, {}, TypeError],
    ["email", {}, TypeError],
    [key, { message: 5 }, TypeError],
    [key, { cost: 0 }, RangeError],
    [key, { cost: "2" }, TypeError],
    [key, { maxCalls: -1 }, RangeError],
    [key, { maxCalls: "2" }, TypeError],
    [key, { onRefused: true }, TypeError],
    [key, { refundWhen: true }, TypeError],
    [key, { refund: () => true }, TypeError],
    [key, null, TypeError],
  ])("throw for keyOf %o with the options %o", (keyOf, options, kind) => {
    expect(() => rateLimited(limiterOf(1), keyOf as typeof key, options as RateLimitedOptions<[]>)).toThrow(kind);
  });

  it.each([undefined, null, 5, {}])("throw a TypeError if the target is %o", (target) => {
    expect(() => rateLimited(limiterOf(1), key)(target as () => void)).toThrow(/^Expected `target`/);
  });

  it("throw a TypeError if the decorator is applied to anything but a method", () => {
    const decorate = rateLimited(limiterOf(1), key) as unknown as (...args: unknown[]) => unknown;
    expect(() => decorate(() => 1, { kind: "getter" })).toThrow(TypeError);
    expect(() => decorate(undefined, { kind: "field" })).toThrow(TypeError);
    expect(() => decorate({}, "field", undefined)).toThrow(TypeError);
    expect(() => decorate({}, "getter", { get: () => 1 })).toThrow(TypeError);
  });
});

describe.each(["standard", "legacy"])("%s decorators", async (mode) => {
  const { Accounts } = (await import(/* @vite-ignore */ `./decorated.ts?decorators=${mode}`)) as typeof Decorated;

  it("limit a method by the limiter of its instance, and keep this, name and length", async () => {
    const [accounts, other] = [new Accounts("Dear"), new Accounts("Hello")];
    expect(await accounts.requestPasswordReset("ada", "de")).toBe("Dear ada (de)");
    await expect(accounts.requestPasswordReset("ada")).rejects.toMatchObject({
      name: "RateLimitExceededError",
      message: "Try again in an hour.",
    });
    expect(await other.requestPasswordReset("ada")).toBe("Hello ada (en)");
    expect(accounts.sent).toEqual(["ada"]);
    expect(accounts.requestPasswordReset.name).toBe("requestPasswordReset");
    expect(accounts.requestPasswordReset.length).toBe(1);
  });

  it("limit instances and static methods by a shared limiter", async () => {
    const accounts = new Accounts("Dear");
    for (const one of [accounts, new Accounts("Hello")]) expect(await one.sendVerification(7)).toBe(7);
    await expect(accounts.sendVerification(7)).rejects.toThrow("Rate limit exceeded");
    expect([await Accounts.count(1), await Accounts.count(1), await Accounts.count(1)]).toEqual([1, 1, -1]);
  });
});
