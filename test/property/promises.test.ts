import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Decision, Limit } from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { anyLimits, anyPolicy, anyStep, callOf, moveOf, ownMaxCalls, type Step } from "../support/commands.js";
import type { ModelPolicy } from "../support/model.js";
import { AnyLimiter, lockOptions } from "../support/model-run.js";

/** A limiter, and its results at each step. */
class Run {
  readonly clock = new ManualClock();
  readonly decisions: Decision[] = [];
  readonly refunds: boolean[] = [];
  readonly limiter: AnyLimiter;

  constructor(limits: readonly Limit[], policy: ModelPolicy | undefined, mode: "enforce" | "shadow" = "enforce") {
    this.limiter = new AnyLimiter(limits, { mode, bypass: false, clock: this.clock, ...lockOptions(policy) });
  }

  async take(step: Step, key?: string): Promise<void> {
    const { limiter } = this;
    const options = "cost" in step ? callOf(limiter.limits, step.cost, step.own).options : undefined;
    if (step.do === "check") this.decisions.push(limiter.checkSync(key ?? step.key, options));
    else if (step.do === "isAllowed") await limiter.isAllowed(key ?? step.key, options);
    else if (step.do === "peek") this.decisions.push(await limiter.peek(key ?? step.key, options));
    else if (step.do === "reset") await limiter.reset(key ?? step.key);
    else if (step.do === "resetAll") await limiter.reset();
    else if (step.do === "lock") await limiter.lock(key ?? step.key, `${step.ms}ms`);
    else if (step.do === "unlock") await limiter.unlock(key ?? step.key);
    else if (step.do === "move") limiter.move(step.to);
    else if (step.do === "refund") {
      const decision = this.decisions.at(-1 - (step.which % Math.max(1, this.decisions.length)));
      if (decision !== undefined) this.refunds.push(await limiter.refund(decision));
    } else this.clock.set(this.clock.now() + moveOf(step, limiter.limits));
  }
}

const script = fc.array(anyStep, { minLength: 20, maxLength: 80, size: "max" });

describe("for any limits and steps", () => {
  it("a refused call is refused until one millisecond before retryAfterMs has passed, and then allowed", async () => {
    let refusals = 0;
    await fc.assert(
      fc.asyncProperty(
        anyLimits,
        anyPolicy,
        script,
        fc.integer({ min: 1, max: 4 }),
        ownMaxCalls,
        async (limits, policy, steps, cost, own) => {
          const run = new Run(limits, policy);
          for (const step of steps) await run.take(step);
          const { options } = callOf(run.limiter.limits, cost, own);
          const { allowed, retryAfterMs } = await run.limiter.peek("ada", options);
          if (allowed || retryAfterMs === Infinity) return;
          refusals += 1;
          const { clock, limiter } = run;
          clock.set(clock.now() + retryAfterMs - 1);
          expect((await limiter.peek("ada", options)).retryAfterMs).toBe(1);
          clock.set(clock.now() + 1);
          expect(await limiter.isAllowed("ada", options)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
    expect(refusals).toBeGreaterThan(20);
  });

  it("shadow mode equals enforce mode in every field except allowed and shadowed", async () => {
    await fc.assert(
      fc.asyncProperty(anyLimits, anyPolicy, script, async (limits, policy, steps) => {
        const enforce = new Run(limits, policy);
        const shadow = new Run(limits, policy, "shadow");
        for (const step of steps) {
          await enforce.take(step);
          await shadow.take(step);
        }
        expect(shadow.refunds).toEqual(enforce.refunds);
        expect(shadow.decisions.map((decision) => ({ ...decision }))).toEqual(
          enforce.decisions.map((decision) => ({ ...decision, allowed: true, shadowed: !decision.allowed })),
        );
      }),
      { numRuns: 300 },
    );
  });

  it("calls and resets of one key change no decision about another", async () => {
    await fc.assert(
      fc.asyncProperty(anyLimits, anyPolicy, script, script, async (limits, policy, steps, noise) => {
        const alone = new Run(limits, policy);
        const crowded = new Run(limits, policy);
        for (const [at, step] of steps.entries()) {
          // A store sees a step back only when it reads the clock, and `crowded` reads it more often.
          if (step.do === "resetAll" || moveOf(step, limits) < 0) continue;
          await alone.take(step, "ada");
          await crowded.take(step, "ada");
          const other = noise[at];
          if (other?.do === "check") crowded.limiter.checkSync("mallory", { cost: other.cost });
          if (other?.do === "reset") await crowded.limiter.reset("mallory");
          if (other?.do === "lock") await crowded.limiter.lock("mallory", `${other.ms}ms`);
        }
        expect(crowded.decisions).toEqual(alone.decisions);
      }),
      { numRuns: 300 },
    );
  });

  it("after reset(key), every decision equals that of a limiter without calls of the key", async () => {
    await fc.assert(
      fc.asyncProperty(anyLimits, anyPolicy, script, script, async (limits, policy, past, future) => {
        const run = new Run(limits, policy);
        for (const step of past) await run.take(step, "ada");
        await run.limiter.reset("ada");
        run.decisions.length = 0;
        run.refunds.length = 0;

        const fresh = new Run(limits, policy);
        fresh.limiter.move(run.limiter.limits.map(({ maxCalls }) => maxCalls));
        // Both read the clock now, so that they see the same steps back.
        fresh.clock.set(run.clock.now());
        await run.limiter.state("ada");
        await fresh.limiter.state("ada");
        for (const step of future) {
          await run.take(step, "ada");
          await fresh.take(step, "ada");
        }
        expect(run.decisions).toEqual(fresh.decisions);
        expect(run.refunds).toEqual(fresh.refunds);
      }),
      { numRuns: 300 },
    );
  });
});
