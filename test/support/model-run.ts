import fc from "fast-check";
import { expect } from "vitest";
import type { Clock, Decision, Duration, Limit, LimiterOptions, LockOptions, Store } from "../../src/index.js";
import type { LimitsInForce } from "../../src/limiter/decide.js";
import { RateLimiter } from "../../src/limiter/rate-limiter.js";
import { ManualClock } from "../../src/testing/index.js";
import { anyLimits, anyPolicy, anyStep, callOf, type Meant, moveOf, type Step } from "./commands.js";
import { type Admission, Model, type ModelDecision, type ModelPolicy } from "./model.js";

/** A limiter of any limits, whose depths can change, as those of the variants do. */
export class AnyLimiter extends RateLimiter {
  /** The limits without load. */
  full: readonly Limit[];
  #most = Infinity;

  constructor(limits: readonly Limit[], options: LimiterOptions<string> = {}) {
    super(limits, options);
    this.full = limits;
  }

  move(maxCalls: readonly number[]): void {
    this.full = this.full.map((limit, at) => ({ ...limit, maxCalls: maxCalls[at] ?? limit.maxCalls }));
    this.replaceLimits(this.full);
  }

  /** Reduces every limit above `most` to it, as load does. */
  reduce(most: number): void {
    this.#most = most;
    this.replaceLimits();
  }

  protected override enforced(full: readonly Limit[]): LimitsInForce {
    return { limits: this.reduced(full), whenReduced: undefined };
  }

  reduced(full: readonly Limit[]): Limit[] {
    return full.map((limit) => {
      return limit.maxCalls <= this.#most ? limit : { ...limit, maxCalls: this.#most, reducedFrom: limit.maxCalls };
    });
  }
}

/** The options of a limiter whose refusals lock as the model's do. */
export function lockOptions(policy: ModelPolicy | undefined): LockOptions {
  if (policy === undefined) return {};
  const lockFor = policy.stepsMs.map((ms): Duration => `${ms}ms`);
  return { lockFor: lockFor.length === 1 ? lockFor[0] : lockFor, forgetAfter: `${policy.forgetAfterMs}ms` };
}

interface Recorded {
  readonly decision: Decision;
  /** What the model recorded for it; undefined if the call was refused. */
  admission: Admission | undefined;
}

/** A limiter and the model, taken through the same steps and compared after each. */
export class World {
  readonly clock = new ManualClock();
  readonly model: Model;
  readonly limiter: AnyLimiter;
  readonly #policy: ModelPolicy | undefined;
  readonly #recorded: Recorded[] = [];
  /** The lock of each key when its state was last read. */
  readonly #seen = new Map<string, number | null>();
  // What a store can know of the clock: its latest reading, and how far it ran backwards between readings.
  #offset = 0;
  #now = -Infinity;

  /** @param storeOf - makes the store of a clock. By default it is in memory. */
  constructor(limits: readonly Limit[], policy?: ModelPolicy, storeOf?: (clock: Clock) => Store) {
    this.#policy = policy;
    this.model = new Model(policy);
    const clock = {
      now: () => {
        this.#offset = this.now() - this.clock.now();
        this.#now = this.now();
        return this.clock.now();
      },
    };
    this.limiter = new AnyLimiter(limits, {
      bypass: false,
      ...lockOptions(policy),
      ...(storeOf === undefined ? { clock } : { store: storeOf(clock) }),
    });
  }

  async take(step: Step): Promise<void> {
    switch (step.do) {
      case "check": {
        const { key, cost, own } = step;
        return this.limiter.synchronous ? this.check(key, cost, own) : this.checkLater(key, cost, own);
      }
      case "isAllowed":
        return this.isAllowed(step.key, step.cost, step.own);
      case "peek":
        return this.peek(step.key, step.cost, step.own);
      case "state":
        return this.state(step.key);
      case "refund":
        return this.refund(step.which);
      case "reset":
        return this.reset(step.key, step.meant);
      case "resetAll":
        return this.reset();
      case "lock":
        return this.lock(step.key, step.ms);
      case "unlock":
        return this.unlock(step.key, step.meant);
      case "waitForLock":
        return this.waitForLock(step.key, step.isForgotten, step.ms);
      case "reduce":
        return this.limiter.reduce(step.to);
      case "move":
        return this.limiter.move(step.to);
      default:
        this.step(moveOf(step, this.limiter.limits));
    }
  }

  /** @param own - the `maxCalls` of this call, layer by layer. */
  check(key: string, cost: number, own?: readonly number[]): void {
    const { options, limits } = this.#callOf(cost, own);
    this.#compare(this.limiter.checkSync(key, options), key, cost, limits);
  }

  /** As {@link check}, for a store that is asynchronous. */
  async checkLater(key: string, cost: number, own?: readonly number[]): Promise<void> {
    const { options, limits } = this.#callOf(cost, own);
    this.#compare(await this.limiter.check(key, options), key, cost, limits);
  }

  #compare(decision: Decision, key: string, cost: number, limits: readonly Limit[]): void {
    const before = this.model.admissions.length;
    expectSame(decision, this.model.check(key, limits, cost, this.now()));
    const admission = this.model.admissions.length > before ? this.model.admissions.at(-1) : undefined;
    this.#recorded.push({ decision, admission });
  }

  async isAllowed(key: string, cost: number, own?: readonly number[]): Promise<void> {
    const { options, limits } = this.#callOf(cost, own);
    const { allowed } = this.model.check(key, limits, cost, this.now());
    expect(await this.limiter.isAllowed(key, options)).toBe(allowed);
  }

  async peek(key: string, cost: number, own?: readonly number[]): Promise<void> {
    const { options, limits } = this.#callOf(cost, own);
    expectSame(await this.limiter.peek(key, options), this.model.peek(key, limits, cost, this.now()));
  }

  async state(key: string): Promise<void> {
    const longest = Math.max(...this.#periods());
    const calls = this.model.used(key, longest, this.now());
    const lock = this.model.lockOf(key, this.now());
    const state = await this.limiter.state(key);
    expect(state).toEqual({ calls, lastReset: this.now() - longest, ...lock });
    this.#seen.set(key, state.lockedUntil);
  }

  async lock(key: string, ms: number): Promise<void> {
    this.model.lock(key, ms, this.now());
    await this.limiter.lock(key, `${ms}ms`);
  }

  async unlock(key: string, meant: Meant = "any"): Promise<void> {
    const lockedUntil = this.#meantBy(key, meant);
    const expected = this.model.unlock(key, this.now(), lockedUntil);
    expect(await this.limiter.unlock(key, { lockedUntil })).toBe(expected);
  }

  /** Refunds one of the decisions so far, `which` counted back from the latest. It may have been refunded before. */
  async refund(which: number): Promise<void> {
    const recorded = this.#recorded.at(-1 - (which % Math.max(1, this.#recorded.length)));
    if (recorded === undefined) return;
    const { decision, admission } = recorded;
    const expected = admission !== undefined && this.model.refund(admission, this.#periods(), this.now());
    const refunded = await this.limiter.refund(decision);
    if (refunded !== expected) expect(refunded).toBe(expected);
  }

  async reset(key?: string, meant: Meant = "any"): Promise<void> {
    const lockedUntil = key === undefined ? undefined : this.#meantBy(key, meant);
    this.model.reset(key, this.now(), lockedUntil);
    await (key === undefined ? this.limiter.reset() : this.limiter.reset(key, { lockedUntil }));
  }

  /** Moves the clock, forwards or backwards. */
  step(ms: number): void {
    this.clock.set(this.clock.now() + ms);
  }

  /** Moves the clock to the end of the lock of a key, or of the time after it in which strikes count, and `ms` further. */
  waitForLock(key: string, isForgotten: boolean, ms: number): void {
    const { lockedUntil } = this.model.lockOf(key, this.now());
    if (lockedUntil === null) return;
    const leftMs = lockedUntil - this.now() + (isForgotten ? (this.#policy?.forgetAfterMs ?? 0) : 0);
    this.step(Math.max(0, leftMs + ms));
  }

  /** Store time: the reading plus the sum of the steps back, and never before an earlier store time. */
  now(): number {
    return Math.max(this.#now, this.clock.now() + this.#offset);
  }

  /** The `lockedUntil` that is passed for a lock. */
  #meantBy(key: string, meant: Meant): number | null | undefined {
    if (meant === "any") return undefined;
    return meant === "none" ? null : (this.#seen.get(key) ?? null);
  }

  #callOf(cost: number, own: readonly number[] | undefined): ReturnType<typeof callOf> {
    const { options, limits } = callOf(this.limiter.full, cost, own);
    return { options, limits: own === undefined ? this.limiter.limits : this.limiter.reduced(limits) };
  }

  #periods(): number[] {
    return this.limiter.limits.map(({ periodMs }) => periodMs);
  }
}

/** Compares every field that the model knows. */
function expectSame(decision: Decision, expected: ModelDecision): void {
  if (isSame(decision, expected)) return;
  const { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers } = decision;
  const { lockedForMs, strikes } = decision;
  const log = { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers };
  expect({ ...log, lockedForMs, strikes }).toEqual(expected);
  expect.unreachable("isSame found a difference that toEqual does not see");
}

/** An element of the limits in force, or a limit of one call. */
function isSameLimit(limit: Limit, expected: ModelDecision["limit"]): boolean {
  const { name, maxCalls, periodMs } = expected;
  if (limit.ofCall !== true) return limit === expected;
  return limit.name === name && limit.maxCalls === maxCalls && limit.periodMs === periodMs;
}

/** `toEqual` would take most of the time of millions of comparisons, so it only describes a difference. */
function isSame(decision: Decision, expected: ModelDecision): boolean {
  return (
    decision.allowed === expected.allowed &&
    decision.reason === expected.reason &&
    decision.refusedBy === expected.refusedBy &&
    isSameLimit(decision.limit, expected.limit) &&
    decision.remaining === expected.remaining &&
    decision.retryAfterMs === expected.retryAfterMs &&
    decision.resetAfterMs === expected.resetAfterMs &&
    decision.lockedForMs === expected.lockedForMs &&
    decision.strikes === expected.strikes &&
    decision.layers.length === expected.layers.length &&
    decision.layers.every((layer, at) => {
      const other = expected.layers[at];
      return (
        layer.name === other?.name &&
        layer.maxCalls === other?.maxCalls &&
        layer.periodMs === other.periodMs &&
        layer.used === other.used &&
        layer.remaining === other.remaining &&
        layer.retryAfterMs === other.retryAfterMs &&
        layer.moreAfterMs === other.moreAfterMs &&
        layer.resetAfterMs === other.resetAfterMs
      );
    })
  );
}

/**
 * Takes limiters of random limits through random steps, and compares them with the model after each: at least 80 steps a run on
 * average.
 *
 * @param storeOf - as in {@link World}.
 */
export async function expectAgreement(runs: number, storeOf?: (clock: Clock) => Store): Promise<void> {
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(
      anyLimits,
      anyPolicy,
      fc.array(anyStep, { minLength: 60, maxLength: 140, size: "max" }),
      async (limits, policy, script) => {
        const world = new World(limits, policy, storeOf);
        for (const step of script) await world.take(step);
        steps += script.length;
      },
    ),
    { numRuns: runs },
  );
  expect(steps).toBeGreaterThanOrEqual(runs * 80);
}
