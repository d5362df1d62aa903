import { expect } from "vitest";
import type { Decision, Limit, LimiterOptions } from "../../src/index.js";
import { RateLimiter } from "../../src/limiter/rate-limiter.js";
import { ManualClock } from "../../src/testing/index.js";
import { callOf } from "./commands.js";
import { type Admission, Model, type ModelDecision } from "./model.js";

/** A limiter of any limits, whose depths can change, as those of the variants do. */
export class AnyLimiter extends RateLimiter {
  constructor(limits: readonly Limit[], options: LimiterOptions<string> = {}) {
    super(limits, options);
  }

  move(maxCalls: readonly number[]): void {
    this.replaceLimits(this.limits.map((limit, at) => ({ ...limit, maxCalls: maxCalls[at] ?? limit.maxCalls })));
  }
}

interface Recorded {
  readonly decision: Decision;
  /** What the model recorded for it; undefined if the call was refused. */
  admission: Admission | undefined;
}

/** A limiter and the model, taken through the same steps and compared after each. */
export class World {
  readonly clock = new ManualClock();
  readonly model = new Model();
  readonly limiter: AnyLimiter;
  readonly #recorded: Recorded[] = [];
  // What a store can know of the clock: its latest reading, and how far it ran backwards between readings.
  #offset = 0;
  #now = -Infinity;

  constructor(limits: readonly Limit[], options: LimiterOptions<string> = {}) {
    const clock = {
      now: () => {
        this.#offset = this.now() - this.clock.now();
        this.#now = this.now();
        return this.clock.now();
      },
    };
    this.limiter = new AnyLimiter(limits, { bypass: false, ...options, clock, store: undefined });
  }

  /** @param own - the `maxCalls` of this call, layer by layer. */
  check(key: string, cost: number, own?: readonly number[]): void {
    const { options, limits } = callOf(this.limiter.limits, cost, own);
    const before = this.model.admissions.length;
    const expected = this.model.check(key, limits, cost, this.now());
    const decision = this.limiter.checkSync(key, options);
    expectSame(decision, expected);
    const admission = this.model.admissions.length > before ? this.model.admissions.at(-1) : undefined;
    this.#recorded.push({ decision, admission });
  }

  async isAllowed(key: string, cost: number, own?: readonly number[]): Promise<void> {
    const { options, limits } = callOf(this.limiter.limits, cost, own);
    const { allowed } = this.model.check(key, limits, cost, this.now());
    expect(await this.limiter.isAllowed(key, options)).toBe(allowed);
  }

  async peek(key: string, cost: number, own?: readonly number[]): Promise<void> {
    const { options, limits } = callOf(this.limiter.limits, cost, own);
    expectSame(await this.limiter.peek(key, options), this.model.peek(key, limits, cost, this.now()));
  }

  async state(key: string): Promise<void> {
    const longest = Math.max(...this.#periods());
    const calls = this.model.used(key, longest, this.now());
    expect(await this.limiter.state(key)).toMatchObject({ calls, lastReset: this.now() - longest });
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

  async reset(key?: string): Promise<void> {
    this.model.reset(key);
    await (key === undefined ? this.limiter.reset() : this.limiter.reset(key));
  }

  /** Moves the clock, forwards or backwards. */
  step(ms: number): void {
    this.clock.set(this.clock.now() + ms);
  }

  /** Store time: the reading plus the sum of the steps back, and never before an earlier store time. */
  now(): number {
    return Math.max(this.#now, this.clock.now() + this.#offset);
  }

  #periods(): number[] {
    return this.limiter.limits.map(({ periodMs }) => periodMs);
  }
}

/** Compares every field that the model knows. */
function expectSame(decision: Decision, expected: ModelDecision): void {
  if (isSame(decision, expected)) return;
  const { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers } = decision;
  expect({ allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers }).toEqual(expected);
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
