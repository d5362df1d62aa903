import fc from "fast-check";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  type AcquireOptions,
  allOf,
  AsyncRateLimiter,
  type Decision,
  MemoryStore,
  RateLimitExceededError,
  type AsyncNamespace,
  type Store,
  type SyncNamespace,
  StoreError,
} from "../../../src/index.js";
import { parseAcquireOptions } from "../../../src/limiter/acquire-options.js";
import { AcquireQueues, type QueuedLimiter } from "../../../src/limiter/acquire-queue.js";
import { ManualClock } from "../../../src/testing/index.js";
import { AnyLimiter } from "../../support/model-run.js";
import { asyncStore } from "../../support/async-store.js";

/** Lets every promise that can settle settle. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function waitingWorld(maxCalls = 1, options: object = {}) {
  const clock = new ManualClock();
  const limiter = new AnyLimiter([{ maxCalls, periodMs: 1000 }], { bypass: false, clock, ...options });
  const log: [name: string, outcome: string, at: number][] = [];
  const wait = (name: string, options?: AcquireOptions, key = "ada"): void => {
    limiter.acquire(key, options).then(
      () => log.push([name, "in", clock.now()]),
      (error: unknown) => log.push([name, (error as Error).name, clock.now()]),
    );
  };
  const advance = async (ms: number): Promise<void> => {
    await settled();
    for (let step = 0; step < ms; step += 1) {
      clock.advance("1ms");
      await settled();
    }
  };
  return { clock, limiter, log, wait, advance };
}

/** One queue over one limit, in plain arrays. */
class QueueModel {
  readonly outcomes: string[] = [];
  #maxCalls: number;
  readonly #periodMs: number;
  #log: { name: number; at: number; cost: number }[] = [];
  #queue: { name: number; cost: number; maxQueue: number; deadline: number; isAccepted?: boolean }[] = [];
  /** When the first waiter is checked again. */
  #readyAt = -Infinity;

  constructor(maxCalls: number, periodMs: number) {
    this.#maxCalls = maxCalls;
    this.#periodMs = periodMs;
  }

  join(waiter: { name: number; cost: number; maxQueue: number; deadline: number }): void {
    this.#queue.push(waiter);
  }

  abort(name: number): boolean {
    return this.#leave(name, "left");
  }

  check(cost: number, now: number): boolean {
    if (this.#retryAfter(cost, now) > 0) return false;
    this.#log.push({ name: NaN, at: now, cost });
    return true;
  }

  refund(name: number, now: number): boolean {
    const isLive = this.#log.some((call) => call.name === name && call.at > now - this.#periodMs);
    if (isLive) {
      this.#log = this.#log.filter((call) => call.name !== name);
      this.#readyAt = -Infinity;
    }
    return isLive;
  }

  setLimit(maxCalls: number): void {
    this.#maxCalls = maxCalls;
    this.#readyAt = -Infinity;
  }

  reset(): void {
    this.#log = [];
    this.#readyAt = -Infinity;
  }

  drain(now: number): void {
    while (this.#checkFirst(now) || this.#acceptOne(now) || this.#expireOne(now));
  }

  #checkFirst(now: number): boolean {
    const [first] = this.#queue;
    if (first === undefined || now < this.#readyAt) return false;
    const wait = this.#retryAfter(first.cost, now);
    if (wait === 0) {
      this.#log.push({ name: first.name, at: now, cost: first.cost });
      return this.#leave(first.name, "in");
    }
    if (wait === Infinity) return this.#leave(first.name, "cost");
    if (first.isAccepted !== true && first.maxQueue === 0) return this.#leave(first.name, "queue-full");
    if (now + wait > first.deadline) return this.#leave(first.name, "timeout");
    first.isAccepted = true;
    this.#readyAt = now + wait;
    return true;
  }

  #acceptOne(now: number): boolean {
    const waiter = this.#queue.find(({ isAccepted }) => isAccepted !== true);
    if (waiter === undefined) return false;
    const wait = this.#retryAfter(waiter.cost, now);
    if (wait === Infinity) return this.#leave(waiter.name, "cost");
    if (this.#queue.indexOf(waiter) >= waiter.maxQueue) return this.#leave(waiter.name, "queue-full");
    if (wait > 0 && now + wait > waiter.deadline) return this.#leave(waiter.name, "timeout");
    waiter.isAccepted = true;
    return true;
  }

  #expireOne(now: number): boolean {
    const waiter = this.#queue.find(({ deadline }) => deadline <= now);
    if (waiter === undefined) return false;
    return this.#leave(waiter.name, this.#retryAfter(waiter.cost, now) === Infinity ? "cost" : "timeout");
  }

  #leave(name: number, outcome: string): boolean {
    const place = this.#queue.findIndex((waiter) => waiter.name === name);
    if (place < 0) return false;
    this.#queue.splice(place, 1);
    if (place === 0) this.#readyAt = -Infinity;
    this.outcomes.push(`${name} ${outcome}`);
    return true;
  }

  #retryAfter(cost: number, now: number): number {
    if (cost > this.#maxCalls) return Infinity;
    for (let wait = 0; ; wait += 1) {
      const live = this.#log.filter(({ at }) => at > now + wait - this.#periodMs);
      if (live.reduce((sum, call) => sum + call.cost, cost) <= this.#maxCalls) return wait;
    }
  }
}

describe("acquire", () => {
  it("resolves at once with the decision where there is room", async () => {
    const { limiter } = waitingWorld(2);
    expect(await limiter.acquire("ada", { cost: 2 })).toMatchObject({ allowed: true, remaining: 0 });
  });

  it("admits calls in the order in which they joined, each at the first instant that the window allows", async () => {
    const { log, wait, advance } = waitingWorld(2);
    for (const name of ["a", "b", "c", "d", "e"]) wait(name);
    await advance(999);
    expect(log).toEqual([
      ["a", "in", 0],
      ["b", "in", 0],
    ]);
    await advance(1);
    await advance(5000);
    expect(log.slice(2)).toEqual([
      ["c", "in", 1000],
      ["d", "in", 1000],
      ["e", "in", 2000],
    ]);
  });

  it("admits no waiter before an earlier one that costs more", async () => {
    const { log, wait, advance, limiter } = waitingWorld(3);
    await limiter.check("ada", { cost: 2 });
    await advance(500);
    wait("wants two", { cost: 2 });
    wait("wants one", { cost: 1 });
    await advance(499);
    expect(log).toEqual([]);
    await advance(1);
    expect(log).toEqual([
      ["wants two", "in", 1000],
      ["wants one", "in", 1000],
    ]);
  });

  it("queues the calls of each key apart", async () => {
    const { log, wait, advance } = waitingWorld();
    wait("a", {}, "ada");
    wait("b", {}, "ada");
    wait("c", {}, "grace");
    await advance(0);
    expect(log.map(([name]) => name)).toEqual(["a", "c"]);
  });

  it("sleeps again when a check has taken the capacity", async () => {
    const { log, wait, advance, limiter, clock } = waitingWorld();
    await limiter.check("ada");
    // At the very instant, and woken before the waiter is.
    clock.wake(1000, () => void limiter.checkSync("ada"));
    wait("waiter");
    await advance(1500);
    expect(log).toEqual([]);
    await advance(500);
    expect(log).toEqual([["waiter", "in", 2000]]);
  });

  it("checks again after a timer that fires early", async () => {
    const clock = new ManualClock();
    const timers: (() => void)[] = [];
    const early = {
      now: () => clock.now(),
      wake: (_: number, run: () => void) => {
        timers.push(run);
        return () => void timers.splice(timers.indexOf(run), 1);
      },
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock: early, bypass: false });
    await limiter.check("ada");
    let isIn = false;
    void limiter.acquire("ada").then(() => (isIn = true));
    clock.set(999);
    timers.pop()?.();
    await settled();
    expect([isIn, timers.length]).toEqual([false, 1]);
    clock.set(1000);
    timers.pop()?.();
    await settled();
    expect([isIn, timers.length]).toEqual([true, 0]);
  });

  it("leaves turns of the event loop to others when timers fire at once", async () => {
    const clock = {
      now: () => performance.now(),
      wake: (_: number, run: () => void) => {
        run();
        return () => undefined;
      },
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "100ms", clock, bypass: false });
    await limiter.check("ada");
    let turns = 0;
    const others = setInterval(() => (turns += 1), 1);
    await limiter.acquire("ada");
    clearInterval(others);
    expect(turns).toBeGreaterThan(0);
  });

  it("resolves when a reset, a refund or a raised limit frees a slot", async () => {
    const { log, wait, advance, limiter } = waitingWorld();
    const spent = await limiter.check("ada");
    for (const name of ["refund", "reset", "reset all", "raise", "all of"]) wait(name);
    await limiter.refund(spent);
    await settled();
    await limiter.reset("ada");
    await settled();
    await limiter.reset();
    await settled();
    limiter.move([2]);
    await settled();
    expect(log.map(([name, outcome]) => [name, outcome])).toEqual([
      ["refund", "in"],
      ["reset", "in"],
      ["reset all", "in"],
      ["raise", "in"],
    ]);
    limiter.move([3]);
    await advance(0);
    const both = allOf({ limiter });
    limiter.move([4]);
    const decision = await both.check({ limiter: "ada" });
    wait("after all of");
    expect(await both.refund(decision)).toBe(true);
    await settled();
    expect(log.slice(4).map(([name]) => name)).toEqual(["all of", "after all of"]);
  });

  it("rejects at once when the first instant lies behind the timeout, and waits when it does not", async () => {
    const { log, wait, advance, limiter } = waitingWorld();
    await limiter.check("ada");
    wait("just short", { timeout: "999ms" });
    wait("just right", { timeout: "1s" });
    wait("behind, too short", { timeout: "500ms" });
    await settled();
    expect(log).toEqual([
      ["just short", "RateLimitExceededError", 0],
      ["behind, too short", "RateLimitExceededError", 0],
    ]);
    await advance(1000);
    expect(log.at(-1)).toEqual(["just right", "in", 1000]);
    await expect(limiter.acquire("ada", { timeout: "0ms" })).rejects.toMatchObject({
      decision: { retryAfterMs: 1000 },
    });
  });

  it("rejects when an earlier waiter has taken the last instant before the timeout", async () => {
    const { log, wait, advance, limiter } = waitingWorld();
    await limiter.check("ada");
    wait("first");
    wait("second", { timeout: "1500ms" });
    wait("third");
    await advance(1499);
    await advance(1);
    expect(log).toEqual([
      ["first", "in", 1000],
      // At 1000 the first went in, and the next instant that the log allows is behind its timeout.
      ["second", "RateLimitExceededError", 1000],
    ]);
    await advance(500);
    expect(log.at(-1)).toEqual(["third", "in", 2000]);
  });

  it("rejects when the timeout ends, while an earlier waiter still waits", async () => {
    const { log, wait, advance, limiter, clock } = waitingWorld();
    await limiter.check("ada");
    clock.wake(1000, () => void limiter.checkSync("ada"));
    wait("first");
    wait("second", { timeout: "1500ms" });
    wait("third", { timeout: "3s" });
    await advance(1499);
    expect(log).toEqual([]);
    await advance(1);
    expect(log).toEqual([["second", "RateLimitExceededError", 1500]]);
    await advance(1500);
    expect(log.slice(1)).toEqual([
      ["first", "in", 2000],
      ["third", "in", 3000],
    ]);
  });

  it("rejects at once when maxQueue calls wait already, and with 0 never waits", async () => {
    const { limiter, log, wait } = waitingWorld();
    await limiter.acquire("ada", { maxQueue: 0 });
    await expect(limiter.acquire("ada", { maxQueue: 0 })).rejects.toThrow(RateLimitExceededError);
    wait("first", { maxQueue: 1 });
    wait("second", { maxQueue: 1 });
    wait("third", { maxQueue: 2 });
    await settled();
    expect(log).toEqual([["second", "RateLimitExceededError", 0]]);
  });

  it("rejects at once when the cost exceeds the limit", async () => {
    const { limiter, log, wait } = waitingWorld(2);
    wait("never", { cost: 3 });
    await limiter.check("ada", { cost: 2 });
    wait("in line");
    wait("never, in line", { cost: 3 });
    await settled();
    expect(log.map(([name]) => name)).toEqual(["never", "never, in line"]);
    await expect(limiter.acquire("ada", { cost: 3 })).rejects.toMatchObject({ retryAfter: Infinity });
  });

  it("rejects with the reason of its signal, before and during the wait, and admits the next waiter", async () => {
    const { limiter, log, wait, advance } = waitingWorld(2);
    const reason = new Error("cancelled");
    await expect(limiter.acquire("ada", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect((await limiter.state("ada")).calls).toBe(0);
    await limiter.check("ada");
    const leaving = new AbortController();
    const waiting = limiter.acquire("ada", { cost: 2, signal: leaving.signal });
    wait("next", { cost: 1 });
    await advance(10);
    expect(log).toEqual([]);
    leaving.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await settled();
    expect(log).toEqual([["next", "in", 10]]);
    await expect(limiter.acquire("ada", { signal: AbortSignal.timeout(1) })).rejects.toMatchObject({
      name: "TimeoutError",
    });
  });

  it("admits no waiter whose signal is aborted together with the signal of another", async () => {
    const { limiter } = waitingWorld(5);
    await limiter.check("ada", { cost: 4 });
    const controller = new AbortController();
    const { signal } = controller;
    const waits = [5, 1].map((cost) => limiter.acquire("ada", { cost, signal }));
    controller.abort(new Error("both"));
    for (const wait of waits) await expect(wait).rejects.toThrow("both");
    expect((await limiter.state("ada")).calls).toBe(4);
  });

  it("rejects when a signal aborts that an earlier wait has used", async () => {
    const { limiter } = waitingWorld();
    const controller = new AbortController();
    const { signal } = controller;
    await limiter.acquire("ada", { signal });
    const waiting = limiter.acquire("ada", { signal });
    await limiter.reset("ada");
    await waiting;
    const again = limiter.acquire("ada", { signal });
    controller.abort(new Error("enough"));
    await expect(again).rejects.toThrow("enough");
  });

  it("resolves after a clock has stepped back, and rejects with the present refusal of the first waiter at a timeout", async () => {
    const { log, wait, advance, limiter, clock } = waitingWorld(5);
    await limiter.check("ada", { cost: 2 });
    wait("wants five", { cost: 5 });
    await advance(10);
    clock.set(clock.now() - 500);
    await advance(2000);
    expect(log.map(([name]) => name)).toEqual(["wants five"]);

    await limiter.reset();
    await limiter.check("ada", { cost: 2 });
    const patient = limiter.acquire("ada", { cost: 5 });
    const impatient = limiter.acquire("ada", { timeout: "900ms" }).catch((error: unknown) => error);
    await advance(900);
    // It would be let in itself; the one before it waits another 100 ms.
    expect(await impatient).toMatchObject({ decision: { allowed: false, retryAfterMs: 100 } });
    await advance(100);
    await patient;
  });

  it("resolves with a clock whose `wake` returns nothing", async () => {
    const clock = new ManualClock();
    const careless = { now: () => clock.now(), wake: (ms: number, run: () => void) => void clock.wake(ms, run) };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock: careless as never, bypass: false });
    await limiter.check("ada");
    const waiting = limiter.acquire("ada");
    clock.advance("1s");
    expect((await waiting).allowed).toBe(true);
  });

  it("leaves no listener on a signal after 9,999 aborted waits, and no queue, timer or warning", async () => {
    const warnings: unknown[] = [];
    const onWarning = (warning: unknown): number => warnings.push(warning);
    process.on("warning", onWarning);
    const { limiter, clock } = waitingWorld();
    await limiter.check("ada");
    const controller = new AbortController();
    const { signal } = controller;
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    const timers = new Set<() => void>();
    const wake = clock.wake.bind(clock);
    clock.wake = (afterMs, run) => {
      const callOff = wake(afterMs, run);
      timers.add(callOff);
      return () => {
        timers.delete(callOff);
        callOff();
      };
    };
    const waits = Array.from({ length: 9_999 }, () =>
      limiter.acquire("ada", { signal }).catch((error: unknown) => error),
    );
    await vi.waitFor(() => expect(timers.size).toBe(1));
    controller.abort(new Error("all of you"));
    const outcomes = new Set(await Promise.all(waits));
    expect(outcomes).toEqual(new Set([signal.reason]));
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed).toHaveBeenCalledTimes(1);
    expect(timers.size).toBe(0);
    await settled();
    process.off("warning", onWarning);
    expect(warnings).toEqual([]);
  });

  it("admits 20,000 at one instant without running out of stack", async () => {
    const { limiter } = waitingWorld(0);
    limiter.move([1]);
    await limiter.check("ada");
    const waits = Array.from({ length: 20_000 }, () => limiter.acquire("ada", { maxQueue: Infinity }));
    await settled();
    limiter.move([30_000]);
    expect(await Promise.all(waits)).toHaveLength(20_000);
  });

  it("is bypassed and shadowed as a check is, and notifies onDecision once, when the wait ends", async () => {
    const heard: Decision[] = [];
    const onDecision = (decision: Decision) => heard.push(decision);
    const { log, wait, advance, limiter } = waitingWorld(1, { onDecision });
    await limiter.check("ada");
    wait("waits");
    wait("gives up", { timeout: "1ms" });
    await advance(1000);
    expect(log.map(([name]) => name)).toEqual(["gives up", "waits"]);
    expect(heard.map(({ allowed }) => allowed)).toEqual([true, false, true]);
    const open = new AsyncRateLimiter({ maxCalls: 3, period: 1, bypass: () => true });
    expect(await open.acquire("ada", { cost: 2 })).toMatchObject({ bypassed: true, remaining: 1 });
    const shadow = new AsyncRateLimiter({ maxCalls: 0, period: 1, mode: "shadow", bypass: false });
    expect((await shadow.acquire("ada")).shadowed).toBe(true);
  });

  it.each([
    [{ timeout: 5 }, TypeError],
    [{ timeout: "soon" }, RangeError],
    [{ maxQueue: -1 }, RangeError],
    [{ maxQueue: "2" }, TypeError],
    [{ signal: {} }, TypeError],
    [{ signal: null }, TypeError],
    [{ cost: 0 }, RangeError],
    [{ wait: 5 }, TypeError],
  ])("with %o rejects", async (options, kind) => {
    await expect(waitingWorld().limiter.acquire("ada", options as AcquireOptions)).rejects.toThrow(kind);
  });

  it("rejects with the error of a clock, and resolves when the clock works again", async () => {
    const clock = new ManualClock();
    const broken = { now: false, wake: false };
    const failing = {
      now: () => {
        if (broken.now) throw new Error("no time");
        return clock.now();
      },
      wake: (afterMs: number, run: () => void) => {
        if (broken.wake) throw new Error("no timer");
        return clock.wake(afterMs, run);
      },
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock: failing, bypass: false });
    await limiter.check("ada");
    broken.now = true;
    await expect(limiter.acquire("ada")).rejects.toThrow("The clock of a store failed");
    broken.now = false;
    broken.wake = true;
    await expect(limiter.acquire("ada")).rejects.toThrow("no timer");
    broken.wake = false;
    const waiting = limiter.acquire("ada");
    clock.advance("1s");
    expect((await waiting).allowed).toBe(true);
  });

  it("rejects where the clock cannot wake", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: 1, clock: { now: () => 0 } });
    await expect(limiter.acquire("ada")).rejects.toThrow(/^Expected `clock` to be a clock with a `wake` function/);
  });

  it("agrees with a plain queue, for random costs and aborts", async () => {
    const visitor = fc.record({
      gap: fc.constantFrom(0, 0, 1, 3, 20),
      cost: fc.integer({ min: 1, max: 3 }),
      stays: fc.option(fc.nat(40)),
    });
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 3, max: 5 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(visitor, { minLength: 1, maxLength: 20, size: "max" }),
        async (maxCalls, periodMs, visitors) => {
          const clock = new ManualClock();
          const limiter = new AnyLimiter([{ maxCalls, periodMs }], { bypass: false, clock });
          const actual: string[] = [];
          const expected: string[] = [];
          const line: { name: number; cost: number; leavesAt: number }[] = [];
          const admitted: { at: number; cost: number }[] = [];
          const serve = (now: number): void => {
            for (let [first] = line; first !== undefined; [first] = line) {
              const live = admitted.filter(({ at }) => at > now - periodMs).reduce((sum, { cost }) => sum + cost, 0);
              if (live + first.cost > maxCalls) return;
              admitted.push({ at: now, cost: first.cost });
              expected.push(`${first.name} in at ${now}`);
              line.shift();
            }
          };
          let at = 0;
          const arrivals = visitors.map((one, name) => ({ ...one, name, at: (at += one.gap) }));
          const controllers = visitors.map(() => new AbortController());
          for (let now = 0; now <= at + 200; now += 1) {
            clock.set(now);
            await settled();
            serve(now);
            for (const { leavesAt, name } of [...line]) {
              const place = line.findIndex((other) => other.name === name);
              // Who stood before may have left at this very instant, and let this one in.
              if (leavesAt !== now || place < 0) continue;
              controllers[name]!.abort();
              line.splice(place, 1);
              serve(now);
            }
            for (const { name, cost, stays } of arrivals.filter((arrival) => arrival.at === now)) {
              line.push({ name, cost, leavesAt: stays === null ? Infinity : now + 1 + stays });
              limiter.acquire("ada", { cost, signal: controllers[name]!.signal }).then(
                () => actual.push(`${name} in at ${clock.now()}`),
                () => undefined,
              );
              serve(now);
            }
            await settled();
            expect(actual).toEqual(expected);
          }
          expect(line).toEqual([]);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("agrees with a model of the queue, for random joins, aborts, timeouts, refunds and limits", async () => {
    const command = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({
          type: fc.constant("join" as const),
          cost: fc.integer({ min: 1, max: 3 }),
          timeout: fc.option(fc.integer({ min: 0, max: 30 }), { nil: Infinity }),
          maxQueue: fc.constantFrom(0, 1, 2, 3, Infinity),
        }),
      },
      { weight: 2, arbitrary: fc.record({ type: fc.constant("abort" as const), which: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("refund" as const), which: fc.nat(20) }) },
      {
        weight: 1,
        arbitrary: fc.record({ type: fc.constant("check" as const), cost: fc.integer({ min: 1, max: 2 }) }),
      },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("limit" as const), maxCalls: fc.nat(4) }) },
      { weight: 1, arbitrary: fc.record({ type: fc.constant("reset" as const) }) },
      // More commands follow in the same synchronous run, before the queue drains.
      {
        weight: 8,
        arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.constantFrom(0, 0, 1, 2, 5, 12) }),
      },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(command, { minLength: 5, maxLength: 60, size: "max" }), async (commands) => {
        const clock = new ManualClock();
        const limiter = new AnyLimiter([{ maxCalls: 3, periodMs: 20 }], { bypass: false, clock });
        const model = new QueueModel(3, 20);
        const actual: string[] = [];
        const controllers: AbortController[] = [];
        const decisions = new Map<number, Decision>();
        for (const step of [...commands, ...Array.from({ length: 40 }, () => ({ type: "pass" as const, ms: 5 }))]) {
          if (step.type === "join") {
            const name = controllers.length;
            const controller = new AbortController();
            controllers.push(controller);
            const { cost, timeout, maxQueue } = step;
            const options = { cost, maxQueue, signal: controller.signal };
            model.join({ name, cost, maxQueue, deadline: clock.now() + timeout });
            limiter.acquire("ada", timeout === Infinity ? options : { ...options, timeout: `${timeout}ms` }).then(
              (decision) => {
                actual.push(`${name} in`);
                decisions.set(name, decision);
              },
              (error: unknown) => actual.push(`${name} ${(error as RateLimitExceededError).waitFailedBy ?? "left"}`),
            );
          } else if (step.type === "abort" && controllers.length > 0) {
            const name = step.which % controllers.length;
            if (model.abort(name)) controllers[name]!.abort({ waitFailedBy: null });
          } else if (step.type === "refund" && decisions.size > 0) {
            const name = [...decisions.keys()][step.which % decisions.size]!;
            await settled();
            model.drain(clock.now());
            const refunded = await limiter.refund(decisions.get(name)!);
            expect(refunded).toBe(model.refund(name, clock.now()));
            await settled();
            model.drain(clock.now());
          } else if (step.type === "check") {
            const { allowed } = limiter.checkSync("ada", { cost: step.cost });
            expect(allowed).toBe(model.check(step.cost, clock.now()));
          } else if (step.type === "limit") {
            limiter.move([step.maxCalls]);
            model.setLimit(step.maxCalls);
          } else if (step.type === "reset") {
            await settled();
            model.drain(clock.now());
            await limiter.reset("ada");
            model.reset();
            await settled();
            model.drain(clock.now());
          } else if (step.type === "pass") {
            clock.advance(`${step.ms}ms`);
            await settled();
            model.drain(clock.now());
            expect([...actual].sort()).toEqual([...model.outcomes].sort());
            const released = (outcomes: readonly string[]): string[] => outcomes.filter((one) => one.endsWith(" in"));
            expect(released(actual)).toEqual(released(model.outcomes));
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe("acquire, when it records a call,", () => {
  it("waits until the synchronous code that joined has ended", async () => {
    const { limiter, clock } = waitingWorld(2);
    const waiting = limiter.acquire("ada");
    clock.advance("400ms");
    await waiting;
    clock.advance("600ms");
    expect((await limiter.peek("ada")).remaining).toBe(1);
    clock.advance("400ms");
    expect((await limiter.peek("ada")).remaining).toBe(2);
  });

  it("checks a call after the code that the caller before runs at once", async () => {
    const { limiter, wait, log, advance } = waitingWorld(2);
    const first = limiter.acquire("ada").then(() => limiter.checkSync("ada"));
    wait("second");
    expect((await first).allowed).toBe(true);
    await advance(999);
    expect(log).toEqual([]);
    await advance(1);
    expect(log).toEqual([["second", "in", 1000]]);
  });

  it("checks a call after a refund, an abort and a block of the caller before", async () => {
    const { limiter, clock } = waitingWorld(1);
    const controller = new AbortController();
    const { signal } = controller;
    const first = limiter.acquire("ada").then((decision) => limiter.refund(decision));
    const second = limiter.acquire("ada").then((decision) => {
      controller.abort(new Error("cancelled"));
      clock.advance("700ms");
      return limiter.refund(decision);
    });
    const third = limiter.acquire("ada", { signal }).catch((error: unknown) => (error as Error).message);
    const fourth = limiter.acquire("ada").then(() => clock.now());
    expect(await Promise.all([first, second, third, fourth])).toEqual([true, true, "cancelled", 700]);
  });

  it("counts a release from the end of a block of the caller, also after the caller has raised the limit", async () => {
    const { limiter, clock, log, wait, advance } = waitingWorld(1);
    await limiter.acquire("ada");
    limiter.move([3]);
    expect([limiter.checkSync("ada").allowed, limiter.checkSync("ada").allowed]).toEqual([true, true]);
    clock.advance("300ms");
    limiter.move([1]);
    await settled();
    expect((await limiter.state("ada")).calls).toBe(3);
    wait("next");
    await advance(1000);
    expect(log).toEqual([["next", "in", 1300]]);
  });

  it("counts a release from the end of a block that is longer than the window", async () => {
    const { limiter, clock, log, wait, advance } = waitingWorld(1);
    await limiter.acquire("ada");
    clock.advance("5s");
    await settled();
    wait("next");
    await advance(1000);
    expect(log).toEqual([["next", "in", 6000]]);
  });

  it("counts no release that is reset before its caller has continued", async () => {
    const { limiter } = waitingWorld(1);
    await limiter.acquire("ada").then(() => limiter.reset("ada"));
    expect((await limiter.acquire("ada", { timeout: "0ms" })).allowed).toBe(true);
  });

  it("counts from the end of a block, for a caller that blocks behind several async functions", async () => {
    const { limiter, clock } = waitingWorld(1);
    const inner = async (): Promise<Decision> => limiter.acquire("ada");
    const outer = async (): Promise<Decision> => inner();
    await outer();
    clock.advance("300ms");
    const next = limiter.acquire("ada").then(() => clock.now());
    await settled();
    clock.advance("999ms");
    await settled();
    clock.advance("1ms");
    expect(await next).toBe(1300);
  });
});

describe("the error of a failed wait", () => {
  const failed = (wait: Promise<unknown>): Promise<unknown> => wait.catch((error: unknown) => error);

  it("has waitFailedBy timeout if the timeout ended, or would end before the call is admitted", async () => {
    const { limiter, clock } = waitingWorld(2);
    await limiter.check("ada");
    const first = limiter.acquire("ada", { cost: 2 });
    const behind = failed(limiter.acquire("ada", { timeout: "1ms" }));
    await settled();
    clock.advance("1ms");
    expect(await behind).toMatchObject({ waitFailedBy: "timeout", retryAfter: 1, decision: { retryAfterMs: 999 } });
    expect(await failed(limiter.acquire("ada", { timeout: "1ms", cost: 2 }))).toMatchObject({
      waitFailedBy: "timeout",
    });
    clock.advance("999ms");
    await first;
    expect(await failed(limiter.acquire("ada", { timeout: "999ms" }))).toMatchObject({
      waitFailedBy: "timeout",
      message: "Rate limit exceeded: retry after 1 s",
    });
  });

  it("has waitFailedBy queue-full and the maxQueue, by default 10,000, if the queue was full", async () => {
    const { limiter } = waitingWorld();
    await limiter.check("ada");
    expect(await failed(limiter.acquire("ada", { maxQueue: 0 }))).toMatchObject({ waitFailedBy: "queue-full" });
    const waits = Array.from({ length: 10_001 }, () => failed(limiter.acquire("ada")));
    expect(await waits.at(-1)).toMatchObject({
      waitFailedBy: "queue-full",
      message: "Rate limit exceeded: the queue is full (maxQueue is 10000)",
      decision: { allowed: false, retryAfterMs: 1000 },
    });
    const closed = failed(limiter.acquire("ada", { maxQueue: Infinity }));
    await settled();
    limiter.close();
    expect(await closed).toMatchObject({ code: "LIMITER_CLOSED" });
    expect(await waits[9_999]).toMatchObject({ code: "LIMITER_CLOSED" });
  });

  it("has waitFailedBy cost if the cost exceeds a limit, also a limit of 0 and one that is lowered during the wait", async () => {
    const cost = { waitFailedBy: "cost", retryAfter: Infinity, decision: { retryAfterMs: Infinity } };
    const { limiter } = waitingWorld(2);
    expect(await failed(limiter.acquire("ada", { cost: 3, timeout: "1s" }))).toMatchObject(cost);
    expect(await failed(limiter.acquire("ada", { cost: 3, maxQueue: 0 }))).toMatchObject(cost);
    await limiter.check("ada", { cost: 2 });
    const first = failed(limiter.acquire("ada"));
    expect(await failed(limiter.acquire("ada", { cost: 3 }))).toMatchObject(cost);
    const lowered = failed(limiter.acquire("ben", { cost: 2 }));
    await lowered;
    const waiting = failed(limiter.acquire("ben", { cost: 2 }));
    await settled();
    limiter.move([1]);
    expect(await waiting).toMatchObject(cost);
    limiter.move([0]);
    expect(await first).toMatchObject(cost);
    expect(await failed(limiter.acquire("eve"))).toMatchObject(cost);
  });

  it("has waitFailedBy null if the call did not wait", async () => {
    const { limiter } = waitingWorld(0);
    expect(new RateLimitExceededError(await limiter.check("ada")).waitFailedBy).toBe(null);
  });
});

describe("acquire, after fake timers that were never moved,", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it.each([
    ["behind the instant at which the first waiter may pass", 60],
    ["before that instant", 0],
  ])("admits the waiter and a call that joins %s", async (_, pauseMs) => {
    vi.useFakeTimers();
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "50ms", bypass: false });
    await limiter.acquire("ada");
    const left = limiter.acquire("ada");
    for (let turn = 0; turn < 20; turn += 1) await undefined;
    expect(vi.getTimerCount()).toBe(1);
    vi.useRealTimers();
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    const joined = limiter.acquire("ada");
    expect((await left).allowed).toBe(true);
    expect((await joined).allowed).toBe(true);
  });
});

describe("acquire on the real clock", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("paces calls by its period", async () => {
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "40ms" });
    const startedAt = performance.now();
    for (let call = 0; call < 3; call += 1) await limiter.acquire("ada");
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(80);
  });

  it("waits longer than setTimeout can, in stretches", async () => {
    vi.useFakeTimers();
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "60d", bypass: false });
    await limiter.check("ada");
    let isIn = false;
    void limiter.acquire("ada").then(() => (isIn = true));
    await vi.advanceTimersByTimeAsync(60 * 86_400_000 - 1);
    expect(isIn).toBe(false);
    await vi.advanceTimersByTimeAsync(2);
    expect(isIn).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("acquire with an asynchronous store", () => {
  /** A store whose decisions are held back until a test releases them. */
  function heldStore(clock: ManualClock) {
    const held: (() => void)[] = [];
    const memory = new MemoryStore({ clock });
    const failing = { next: false };
    const counts = { peeks: 0 };
    const later = <R>(decide: () => R): Promise<R> =>
      new Promise((resolve, reject) => {
        held.push(() => {
          if (failing.next) reject(new StoreError("The store is gone"));
          else resolve(decide());
        });
      });
    const replace = (space: SyncNamespace): Partial<AsyncNamespace> => ({
      peek: (...call) => {
        counts.peeks += 1;
        return Promise.resolve(space.peek(...call));
      },
      reset: (...call) => Promise.resolve(space.reset(...call)),
      state: (...call) => Promise.resolve(space.state(...call)),
    });
    const store = asyncStore({ memory, later, replace });
    const decideOne = async (): Promise<void> => {
      await settled();
      held.shift()?.();
      await settled();
    };
    const decideAll = async (): Promise<void> => {
      for (await settled(); held.length > 0; await settled()) held.shift()?.();
    };
    return { store, memory, held, decideOne, decideAll, failing, counts };
  }

  it("checks the first call alone, and the others in order", async () => {
    const clock = new ManualClock();
    const { store, held, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1s", store, bypass: false });
    const order: number[] = [];
    for (const name of [1, 2, 3]) void limiter.acquire("ada").then(() => order.push(name));
    await settled();
    expect(held).toHaveLength(1);
    await decideOne();
    expect([order, held.length]).toEqual([[1], 1]);
    await decideOne();
    await decideOne();
    expect([order, held.length]).toEqual([[1, 2], 0]);
    clock.advance("1s");
    await decideOne();
    expect(order).toEqual([1, 2, 3]);
  });

  it("refunds a call whose waiter has left while the store decided", async () => {
    const clock = new ManualClock();
    const { store, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", store, bypass: false });
    const controller = new AbortController();
    const waiting = limiter.acquire("ada", { signal: controller.signal });
    let isIn = false;
    void limiter.acquire("ada").then(() => (isIn = true));
    await settled();
    controller.abort(new Error("cancelled"));
    await expect(waiting).rejects.toThrow("cancelled");
    await decideOne();
    await decideOne();
    expect(isIn).toBe(true);
    expect((await limiter.state("ada")).calls).toBe(1);
  });

  it("is not paced by a call whose waiter has left, and which a reset has removed while the store decided", async () => {
    const clock = new ManualClock();
    const memory = new MemoryStore({ clock });
    let reply: () => void = () => undefined;
    const store = asyncStore({
      memory,
      replace: (space) => ({
        check: (...call) => {
          const result = space.check(...call);
          return new Promise((resolve) => {
            reply = () => resolve(result);
          });
        },
      }),
    });
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1h", store, bypass: false });
    const controller = new AbortController();
    const leaving = limiter.acquire("ada", { signal: controller.signal }).catch(() => "left");
    const next = limiter.acquire("ada");
    await settled();
    controller.abort();
    await limiter.reset("ada");
    reply();
    await settled();
    reply();
    expect([await leaving, (await Promise.race([next, settled()]))?.allowed]).toEqual(["left", true]);
  });

  it("checks the next waiter when the check of one that has left is refused or fails", async () => {
    for (const fails of [false, true]) {
      const clock = new ManualClock();
      const { store, decideOne, failing } = heldStore(clock);
      const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1s", store, bypass: false });
      const controller = new AbortController();
      const leaving = limiter.acquire("ada", { cost: 2, signal: controller.signal }).catch(() => "left");
      const behind = limiter.acquire("ada");
      await settled();
      controller.abort();
      failing.next = fails;
      await decideOne();
      failing.next = false;
      await decideOne();
      expect(await leaving).toBe("left");
      expect((await behind).allowed).toBe(true);
    }
  });

  it("checks again when a reset or a raised limit comes during a check", async () => {
    const clock = new ManualClock();
    const { store, decideOne, held } = heldStore(clock);
    const limiter = new AnyLimiter([{ maxCalls: 1, periodMs: 1000 }], { store, bypass: false });
    const first = limiter.check("ada");
    await decideOne();
    await first;
    const second = limiter.acquire("ada");
    await settled();
    const decide = held.shift();
    limiter.move([2]);
    decide?.();
    await settled();
    await decideOne();
    expect((await second).limit.maxCalls).toBe(2);
  });

  it("counts no call against maxQueue that the store is deciding", async () => {
    const clock = new ManualClock();
    const { store, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "1s", store, bypass: false });
    const outcomes: string[] = [];
    for (const name of ["a", "b", "c"]) {
      limiter.acquire("ada", { maxQueue: 0 }).then(
        () => outcomes.push(`${name} in`),
        (error: unknown) => outcomes.push(`${name} refused ${(error as RateLimitExceededError).decision.reason}`),
      );
    }
    for (let call = 0; call < 3; call += 1) await decideOne();
    expect(outcomes).toEqual(["a in", "b in", "c refused Rate limit exceeded"]);
  });

  it("rejects with a StoreError when the store has not decided before the timeout", async () => {
    const clock = new ManualClock();
    const { store, decideOne, held } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "10s", store, bypass: false });
    const hung = limiter.acquire("ada", { timeout: "1s" }).catch((error: unknown) => error);
    const behind = limiter.acquire("ada", { timeout: "2s" }).catch((error: unknown) => error);
    await settled();
    clock.advance("5s");
    expect(await hung).toBeInstanceOf(StoreError);
    expect(await behind).toBeInstanceOf(StoreError);
    await decideOne();
    expect((await limiter.state("ada")).calls).toBe(0);
    const first = limiter.acquire("ada");
    await decideOne();
    await first;
    // As long as the timeout exactly: checked at the very instant it ends, and admitted.
    const exact = limiter.acquire("ada", { timeout: "10s" });
    await decideOne();
    clock.advance("10s");
    await settled();
    expect(held).toHaveLength(1);
    await decideOne();
    expect((await exact).allowed).toBe(true);
  });

  it("rejects with the error of the store, and checks the next waiter", async () => {
    const clock = new ManualClock();
    const { store, decideOne, failing } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", store, bypass: false });
    const first = limiter.acquire("ada");
    const second = limiter.acquire("ada");
    const failed = expect(first).rejects.toThrow(StoreError);
    failing.next = true;
    await decideOne();
    await failed;
    failing.next = false;
    await decideOne();
    expect((await second).allowed).toBe(true);
  });

  it("checks at once, and in order, as many of the next waiters as remain after the first decision", async () => {
    const { store, held, decideOne, decideAll } = heldStore(new ManualClock());
    const limiter = new AsyncRateLimiter({ maxCalls: 40, period: "1s", store, bypass: false });
    const order: number[] = [];
    for (let call = 0; call < 60; call += 1) {
      limiter.acquire("ada").then(
        () => order.push(call),
        () => undefined,
      );
    }
    await settled();
    expect(held).toHaveLength(1);
    await decideOne();
    expect(held).toHaveLength(39);
    await decideAll();
    expect(order).toEqual(Array.from({ length: 40 }, (_, call) => call));
    expect((await limiter.state("ada")).calls).toBe(40);
    limiter.close();
  });

  it("releases the callers that it checks at once no faster than the limit allows", async () => {
    const clock = new ManualClock();
    const { store, decideOne, decideAll, held } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 3, period: "1s", store, bypass: false });
    const releases: number[] = [];
    for (let call = 0; call < 6; call += 1) void limiter.acquire("ada").then(() => releases.push(clock.now()));
    await decideOne();
    await settled();
    // The store records two more now, and its decisions arrive half a second later.
    expect(held).toHaveLength(2);
    const late = held.splice(0);
    late[0]!();
    clock.advance("500ms");
    late[1]!();
    for (let step = 0; step < 200; step += 1) {
      await decideAll();
      clock.advance("10ms");
    }
    for (const at of releases) {
      expect(releases.filter((other) => other >= at && other < at + 1000).length).toBeLessThanOrEqual(3);
    }
    expect(releases).toHaveLength(6);
  });

  it("refunds the calls of a batch whose waiters have left", async () => {
    const { store, decideOne, decideAll } = heldStore(new ManualClock());
    const limiter = new AsyncRateLimiter({ maxCalls: 9, period: "1s", store, bypass: false });
    const controllers = [1, 2, 3].map(() => new AbortController());
    const first = limiter.acquire("ada", { cost: 2 });
    const leaving = controllers.map(({ signal }) => limiter.acquire("ada", { cost: 2, signal }).catch(() => "left"));
    const last = limiter.acquire("ada", { cost: 1 });
    await decideOne();
    await first;
    controllers.forEach((controller) => controller.abort());
    await decideAll();
    expect(await Promise.all(leaving)).toEqual(["left", "left", "left"]);
    expect((await last).allowed).toBe(true);
    expect((await limiter.state("ada")).calls).toBe(3);
  });

  it("admits as many calls with maxQueue 0 as the limit allows, and refuses the others with one command", async () => {
    const { store, held, decideOne, decideAll, counts } = heldStore(new ManualClock());
    const limiter = new AsyncRateLimiter({ maxCalls: 30, period: "1s", store, bypass: false });
    const outcomes: unknown[] = [];
    for (let call = 0; call < 40; call += 1) {
      limiter.acquire("ada", { maxQueue: 0 }).then(
        () => outcomes.push("admitted"),
        (error: unknown) => outcomes.push((error as RateLimitExceededError).waitFailedBy),
      );
    }
    await decideOne();
    expect(held).toHaveLength(29);
    await decideAll();
    expect(outcomes.slice(0, 30)).toEqual(Array.from({ length: 30 }, () => "admitted"));
    expect(outcomes.slice(30)).toEqual(Array.from({ length: 10 }, () => "queue-full"));
    expect(counts.peeks).toBe(1);
  });

  it("refuses calls without a command when the queue is full or the timeout too short", async () => {
    const clock = new ManualClock();
    const { store, decideOne, counts } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "10s", store, bypass: false });
    void limiter.acquire("ada");
    await decideOne();
    const waiting = limiter.acquire("ada");
    await settled();
    counts.peeks = 0;
    clock.advance("4s");
    const failed = (options: AcquireOptions): Promise<unknown> =>
      limiter.acquire("ada", options).catch((error: unknown) => error);
    const decision = { allowed: false, retryAfterMs: 6000, layers: [{ retryAfterMs: 6000, resetAfterMs: 6000 }] };
    expect(await failed({ maxQueue: 1 })).toMatchObject({ waitFailedBy: "queue-full", decision });
    expect(await failed({ timeout: "5s" })).toMatchObject({ waitFailedBy: "timeout", decision });
    expect(counts.peeks).toBe(0);
    expect(await failed({ cost: 2 })).toMatchObject({ waitFailedBy: "cost" });
    expect(counts.peeks).toBeGreaterThan(0);
    clock.advance("6s");
    await decideOne();
    expect((await waiting).allowed).toBe(true);
  });

  it("rejects with a refusal at the timeout when the store has decided since the call joined", async () => {
    const clock = new ManualClock();
    const { store, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "200ms", store, bypass: false });
    void limiter.acquire("ada");
    await decideOne();
    const first = limiter.acquire("ada", { timeout: "201ms" });
    const second = limiter.acquire("ada", { timeout: "201ms" }).catch((error: unknown) => error);
    await decideOne();
    clock.advance("200ms");
    await settled();
    clock.advance("2ms");
    await expect(first).rejects.toMatchObject({ waitFailedBy: "timeout" });
    expect(await second).toMatchObject({ waitFailedBy: "timeout" });
  });

  it("refunds a call that the store admits after the clock has failed", async () => {
    const clock = new ManualClock();
    let isBroken = false;
    const failing = {
      now: () => {
        if (isBroken) throw new Error("no time");
        return clock.now();
      },
      wake: (afterMs: number, run: () => void) => clock.wake(afterMs, run),
    };
    const { store, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({
      maxCalls: 1,
      period: "10s",
      store: { ...store, clock: failing } as Store,
      bypass: false,
    });
    const waiting = limiter.acquire("ada", { timeout: "1s" });
    await settled();
    isBroken = true;
    clock.advance("2s");
    await expect(waiting).rejects.toThrow("The clock of a store failed");
    isBroken = false;
    await decideOne();
    expect((await limiter.state("ada")).calls).toBe(0);
  });

  it("does not reject for the cost of an earlier call when the store has not decided before the timeout", async () => {
    const clock = new ManualClock();
    const { store, decideOne } = heldStore(clock);
    const limiter = new AsyncRateLimiter({ maxCalls: 2, period: "10s", store, bypass: false });
    const never = limiter.acquire("ada", { cost: 3 }).catch((error: unknown) => error);
    const first = limiter.acquire("ada", { timeout: "1s" }).catch((error: unknown) => error);
    await decideOne();
    expect(await never).toMatchObject({ waitFailedBy: "cost" });
    clock.advance("2s");
    expect(await first).toBeInstanceOf(StoreError);
  });

  it("is not paced in shadow mode by calls that the store has forgotten", async () => {
    const clock = new ManualClock();
    const { store, decideOne, memory } = heldStore(clock);
    const open = memory.open.bind(memory);
    let forget = (): void => undefined;
    memory.open = (name, periodsMs) => {
      const namespace = open(name, periodsMs);
      forget = () => namespace.reset();
      return namespace;
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", store, mode: "shadow", bypass: false });
    const first = limiter.acquire("ada");
    await decideOne();
    await first;
    forget();
    const second = limiter.acquire("ada");
    await decideOne();
    expect((await second).shadowed).toBe(false);
  });

  it("does not pace by a call that its caller has refunded before it continues", async () => {
    const clock = new ManualClock();
    const memory = new MemoryStore({ clock });
    const store = asyncStore({ memory });
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", store, bypass: false });
    const refund = (decision: Decision): Promise<boolean> => limiter.refund(decision);
    expect(await limiter.acquire("ada").then(refund)).toBe(true);
    await settled();
    expect((await limiter.acquire("ada", { timeout: "0ms" })).allowed).toBe(true);
  });

  it("checks again after a second when a fallback has refused the call", async () => {
    const clock = new ManualClock();
    const { store, decideAll, memory } = heldStore(clock);
    const open = memory.open.bind(memory);
    let isDown = true;
    let forget = (): void => undefined;
    memory.open = (name, periodsMs) => {
      const namespace = open(name, periodsMs);
      const check = namespace.check.bind(namespace);
      namespace.check = (...call) => ({ ...check(...call), ...(isDown && { source: "fallback" as const }) });
      forget = () => namespace.reset();
      return namespace;
    };
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "20s", store, bypass: false });
    void limiter.check("ada");
    await decideAll();
    let admitted: Decision | undefined;
    void limiter.acquire("ada", { timeout: "5s" }).then((decision) => (admitted = decision));
    await decideAll();
    isDown = false;
    forget();
    clock.advance("999ms");
    await decideAll();
    expect(admitted).toBe(undefined);
    clock.advance("1ms");
    await decideAll();
    expect(admitted?.source).toBe("memory");
  });
});
describe("the queues of a limiter", () => {
  /** Queues over a limiter of one call, whose decision on a second one is a promise that the test resolves. */
  function queuesOf(check: QueuedLimiter["check"]) {
    const clock = new ManualClock();
    const limiter = new AsyncRateLimiter({ maxCalls: 1, period: "1s", clock, bypass: false });
    const queues = new AcquireQueues(clock, {
      synchronous: false,
      check,
      peek: (key, { cost }) => limiter.peek(key, { cost }),
      notify: () => undefined,
    });
    const outcomes: unknown[] = [];
    const join = (options?: AcquireOptions): void => {
      const leave = (outcome: unknown): void => void outcomes.push(outcome);
      queues.enqueue("ada", parseAcquireOptions(options), leave, leave);
    };
    return { clock, limiter, queues, outcomes, join };
  }

  it("reject all waiters with a given error, leave no timer, and refund a call that the store admits later", async () => {
    const decide: ((decision: Decision) => void)[] = [];
    const { clock, limiter, queues, outcomes, join } = queuesOf(async () => {
      const decision = await new Promise<Decision>((resolve) => decide.push(resolve));
      return { decision, release: undefined };
    });
    const wake = vi.spyOn(clock, "wake");
    join({ timeout: "2s" });
    join();
    await settled();
    expect([decide.length, wake.mock.calls.length]).toEqual([1, 1]);
    const closed = new Error("The limiter is closed");
    queues.rejectAll(closed);
    await settled();
    expect(outcomes).toEqual([closed, closed]);
    decide[0]!(await limiter.check("ada"));
    await settled();
    expect((await limiter.state("ada")).calls).toBe(0);
    clock.advance("1m");
    await settled();
    expect([decide.length, wake.mock.calls.length, outcomes.length]).toEqual([1, 1, 2]);
  });

  it("refuse a call at once when 10,000 wait for a store that decides too slowly", async () => {
    const { outcomes, join } = queuesOf(() => new Promise(() => undefined));
    join();
    await settled();
    for (let call = 1; call < 10_001; call += 1) join({ maxQueue: 5 });
    await settled();
    expect(outcomes).toHaveLength(1);
    expect(outcomes[0]).toBeInstanceOf(StoreError);
  });

  it("release no waiter whose signal is aborted before its listeners run", async () => {
    let checks = 0;
    const { outcomes, join } = queuesOf(() => {
      checks += 1;
      throw new Error("The store is gone");
    });
    const reason = new Error("cancelled");
    const signal = { aborted: false, reason, addEventListener: () => undefined, removeEventListener: () => undefined };
    join({ signal });
    join({ signal });
    signal.aborted = true;
    await settled();
    expect([outcomes, checks]).toEqual([[reason, reason], 0]);
  });
});

describe("acquire, when the package was imported under fake timers that are removed again,", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("releases more callers than one slice holds", async () => {
    vi.useFakeTimers();
    vi.resetModules();
    const { AsyncRateLimiter: Imported } = await import("../../../src/index.js");
    vi.useRealTimers();
    const limiter = new Imported({ maxCalls: 30_000, period: "1h", bypass: false });
    const waits = Array.from({ length: 30_000 }, () => limiter.acquire("ada", { maxQueue: Infinity }));
    expect(await Promise.all(waits)).toHaveLength(30_000);
  });
});

describe("acquire in a full store", () => {
  it("of one key does not make the store forget another key at its limit for new keys of another limiter", async () => {
    const clock = new ManualClock();
    const store = new MemoryStore({ maxKeys: 8, clock });
    const logins = new AsyncRateLimiter({ maxCalls: 2, period: "1h", name: "logins", store, bypass: false });
    const searches = new AsyncRateLimiter({ maxCalls: 1, period: "1h", name: "searches", store, bypass: false });
    for (const key of ["ada", "bob", "eve", "sam"]) while (logins.checkSync(key).allowed);
    await logins.acquire("joe");
    await settled();
    for (let made = 0; made < 200; made += 1) searches.checkSync(`made up ${made}`);
    for (const key of ["ada", "bob", "eve", "sam"]) expect((await logins.state(key)).calls).toBe(2);
  });
});
