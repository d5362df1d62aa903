import fc from "fast-check";
import { expect, it } from "vitest";
import { allOf, type Decision, MemoryStore } from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { anyPolicy } from "../support/commands.js";
import { AnyLimiter, lockOptions } from "../support/model-run.js";

const layers = fc.array(
  fc.record({ maxCalls: fc.integer({ min: 1, max: 5 }), periodMs: fc.constantFrom(20, 60, 100) }),
  { minLength: 1, maxLength: 2 },
);

/** A call of one limiter, or, one in eight, of all of them together. */
const anyCall = fc.record({
  limiter: fc.nat({ max: 2 }),
  together: fc.nat({ max: 7 }),
  key: fc.oneof(fc.constantFrom("ada", "ben"), fc.nat({ max: 200 }).map(String)),
  cost: fc.constantFrom(1, 1, 2, 3, 5),
  /** The limit of this call only; undefined for the limits of the limiter. */
  maxCalls: fc.constantFrom(undefined, undefined, 1, 3, 8),
  waitMs: fc.constantFrom(0, 0, 0, 0, 0, 0, 1, 7),
});

/** Records the `retryAfterMs` of each refused call, and fails if the same call is admitted earlier. */
class Refusals {
  readonly #until = new Map<string, number>();
  seen = 0;
  repeated = 0;
  locked = 0;

  observe(call: string, { allowed, retryAfterMs, refusedBy }: Decision, now: number): void {
    const until = this.#until.get(call) ?? -Infinity;
    if (allowed && until > now) expect.unreachable(`${call} was refused until ${until}, and is admitted at ${now}`);
    if ((refusedBy !== "limit" && refusedBy !== "lock") || retryAfterMs === Infinity) return;
    this.seen += 1;
    if (until > now) this.repeated += 1;
    if (refusedBy === "lock") this.locked += 1;
    this.#until.set(call, now + retryAfterMs);
  }
}

it("a flood of keys does not free a refused key: the same call is refused until its retryAfterMs has passed", async () => {
  const total = { seen: 0, repeated: 0, locked: 0, evictions: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 3, max: 50 }),
      fc.array(fc.tuple(layers, anyPolicy), { minLength: 1, maxLength: 3 }),
      fc.array(anyCall, { minLength: 100, maxLength: 400, size: "max" }),
      async (maxKeys, namespaces, calls) => {
        const clock = new ManualClock();
        const store = new MemoryStore({ clock, maxKeys });
        const limiters = namespaces.map(([limits, policy], at) => {
          return new AnyLimiter(limits, { name: `limiter ${at}`, store, bypass: false, ...lockOptions(policy) });
        });
        const all = allOf(Object.fromEntries(limiters.map((limiter) => [limiter.name, limiter])));
        const refusals = new Refusals();
        for (const { limiter: which, key, cost, maxCalls, waitMs, together } of calls) {
          clock.set(clock.now() + waitMs);
          if (together > 0) {
            const limiter = limiters[which % limiters.length] as AnyLimiter;
            const decision = limiter.checkSync(key, { cost, maxCalls });
            refusals.observe(`${limiter.name} ${key} ${cost} ${maxCalls}`, decision, clock.now());
          } else {
            const keys = Object.fromEntries(limiters.map(({ name }) => [name, key]));
            const { allowed, members } = await all.check(keys, {
              cost,
              maxCalls: Object.fromEntries(limiters.map(({ name }) => [name, maxCalls])),
            });
            for (const { name } of limiters) {
              const decision = members[name] as Decision;
              // A member that allows the call records it only if all members allow it.
              if (allowed || !decision.allowed)
                refusals.observe(`${name} ${key} ${cost} ${maxCalls}`, decision, clock.now());
            }
          }
          expect(store.size).toBeLessThanOrEqual(maxKeys);
        }
        total.evictions += store.evictions;
        total.seen += refusals.seen;
        total.locked += refusals.locked;
        total.repeated += refusals.repeated;
      },
    ),
    { numRuns: 400 },
  );
  expect(Math.min(total.evictions, total.seen, total.repeated, total.locked)).toBeGreaterThan(1000);
});
