import { expect } from "vitest";
import type { Decision, Limit, LimiterOptions } from "../../src/index.js";
import { RateLimiter } from "../../src/limiter/rate-limiter.js";
import { ManualClock } from "../../src/testing/index.js";
import { type Admission, Oracle, type OracleAnswer } from "./model.js";

/** A limiter of any limits, which can be moved: the seam that the variants are made of. */
export class AnyLimiter extends RateLimiter {
  constructor(limits: readonly Limit[], options: LimiterOptions<string> = {}) {
    super(limits, options);
  }

  move(maxCalls: readonly number[]): void {
    this.moveLimits(this.limits.map((limit, at) => ({ ...limit, maxCalls: maxCalls[at] ?? limit.maxCalls })));
  }
}

interface Settled {
  readonly decision: Decision;
  /** What the oracle recorded for it; undefined when nothing was. */
  admission: Admission | undefined;
}

/** A limiter and the oracle, led through the same steps and compared after each. */
export class World {
  readonly clock = new ManualClock();
  readonly oracle = new Oracle();
  readonly limiter: AnyLimiter;
  readonly #settled: Settled[] = [];
  // What the store can know of the clock: its latest reading, and how far it ran backwards between readings.
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

  check(key: string, cost: number): void {
    const limits = this.limiter.limits;
    const before = this.oracle.admissions.length;
    const expected = this.oracle.check(key, limits, cost, this.now());
    const decision = this.limiter.checkSync(key, { cost });
    sameAnswer(decision, expected);
    const admission = this.oracle.admissions.length > before ? this.oracle.admissions.at(-1) : undefined;
    this.#settled.push({ decision, admission });
  }

  async isAllowed(key: string, cost: number): Promise<void> {
    const { allowed } = this.oracle.check(key, this.limiter.limits, cost, this.now());
    expect(await this.limiter.isAllowed(key, { cost })).toBe(allowed);
  }

  async peek(key: string, cost: number): Promise<void> {
    sameAnswer(await this.limiter.peek(key, { cost }), this.oracle.answer(key, this.limiter.limits, cost, this.now()));
  }

  async state(key: string): Promise<void> {
    const longest = Math.max(...this.#periods());
    const calls = this.oracle.live(key, longest, this.now());
    expect(await this.limiter.state(key)).toEqual({ calls, lastReset: this.now() - longest });
  }

  /** Refunds one of the decisions so far, `which` counted back from the latest: again and again the same, too. */
  async refund(which: number): Promise<void> {
    const settled = this.#settled.at(-1 - (which % Math.max(1, this.#settled.length)));
    if (settled === undefined) return;
    const { decision, admission } = settled;
    const expected = admission !== undefined && this.oracle.refund(admission, this.#periods(), this.now());
    const refunded = await this.limiter.refund(decision);
    if (refunded !== expected) expect(refunded).toBe(expected);
  }

  async reset(key?: string): Promise<void> {
    this.oracle.reset(key);
    await (key === undefined ? this.limiter.reset() : this.limiter.reset(key));
  }

  /** Moves the clock, backwards too. */
  step(ms: number): void {
    this.clock.set(this.clock.now() + ms);
  }

  /** Store time as the design says it: the reading with its offset, or, where that would go back, no time passed. */
  now(): number {
    return Math.max(this.#now, this.clock.now() + this.#offset);
  }

  #periods(): number[] {
    return this.limiter.limits.map(({ periodMs }) => periodMs);
  }
}

/** Compares every field that the oracle has an opinion of. */
function sameAnswer(decision: Decision, expected: OracleAnswer): void {
  if (isSame(decision, expected)) return;
  const { allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers } = decision;
  expect({ allowed, reason, refusedBy, limit, remaining, retryAfterMs, resetAfterMs, layers }).toEqual(expected);
  expect.unreachable("isSame found a difference that toEqual does not see");
}

/** By hand, because `toEqual` takes most of the time of millions of comparisons; it is left to describe a difference. */
function isSame(decision: Decision, expected: OracleAnswer): boolean {
  return (
    decision.allowed === expected.allowed &&
    decision.reason === expected.reason &&
    decision.refusedBy === expected.refusedBy &&
    decision.limit === expected.limit &&
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
