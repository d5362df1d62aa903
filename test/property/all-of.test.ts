import fc from "fast-check";
import { expect, it } from "vitest";
import { allOf, type Decision, type Limit, MemoryStore } from "../../src/index.js";
import { ManualClock } from "../../src/testing/index.js";
import { asyncStore } from "../support/async-store.js";
import { anyPolicy } from "../support/commands.js";
import { Model, type ModelDecision } from "../support/model.js";
import { AnyLimiter, lockOptions } from "../support/model-run.js";

const NAMES = ["c", "a", "b"] as const;
type Name = (typeof NAMES)[number];

const limits = fc.array(
  fc.record({ maxCalls: fc.integer({ min: 0, max: 4 }), periodMs: fc.integer({ min: 1, max: 60 }) }),
  { minLength: 1, maxLength: 2 },
);
const anyMember = fc.record({ limits, policy: anyPolicy, isShadow: fc.boolean() });

const key = fc.constantFrom("ada", "ada", "ben", null);
const anyCall = fc.record({
  keys: fc.record({ a: key, b: key, c: key }),
  cost: fc.constantFrom(1, 1, 1, 2, 9),
  waitMs: fc.constantFrom(0, 0, 0, 0, 1, 7, 60),
  /** What is done by hand before the call. */
  lock: fc.option(fc.record({ name: fc.constantFrom(...NAMES), ms: fc.nat({ max: 30 }) }), { freq: 5 }),
});

/** A member with its model. */
interface Member {
  readonly name: Name;
  readonly limits: readonly Limit[];
  readonly isShadow: boolean;
  readonly model: Model;
}

/** What all members decide together at one instant. Those that allow a refused call record nothing. */
function decideTogether(members: readonly Member[], keys: Keys, cost: number, now: number): Expected {
  const asked = members.filter(({ name }) => keys[name] !== null);
  const isRefused = (member: Member): boolean =>
    !member.model.peek(keys[member.name] as string, member.limits, cost, now).allowed;
  const refusing = asked.filter(isRefused);
  const enforcing = refusing.filter(({ isShadow }) => !isShadow);
  return new Map(
    asked.map((member) => {
      const { name, model, limits, isShadow } = member;
      const mayStrike = isShadow ? refusing[0] === member : enforcing[0] === member;
      const isChecked = refusing.includes(member) || enforcing.length === 0;
      const given = [keys[name] as string, limits, cost, now] as const;
      return [name, isChecked ? model.check(...given, now, mayStrike) : model.peek(...given)];
    }),
  );
}

/** What the members decide one after another, until one refuses the call. Then the earlier ones are refunded. */
function decideInOrder(members: readonly Member[], keys: Keys, cost: number, now: number): Expected {
  const expected: Expected = new Map();
  const recorded: Model[] = [];
  let isAnyRefused = false;
  for (const { name, model, limits, isShadow } of members) {
    const own = keys[name];
    if (own === null) continue;
    const decision = model.check(own, limits, cost, now, now, !isShadow || !isAnyRefused);
    expected.set(name, decision);
    if (decision.allowed) recorded.push(model);
    isAnyRefused ||= !decision.allowed;
    if (decision.allowed || isShadow) continue;
    for (const earlier of recorded) earlier.admissions.pop();
    break;
  }
  return expected;
}

type Keys = Readonly<Record<Name, string | null>>;
type Expected = Map<Name, ModelDecision>;

const factsOf = ({ refusedBy, retryAfterMs, lockedForMs, strikes, remaining }: Decision | ModelDecision) => {
  return { refusedBy, retryAfterMs, lockedForMs, strikes, remaining };
};

it.each(["memory", "an asynchronous store"])("allOf over %s locks the members that the model locks", async (kind) => {
  const total = { strikes: 0, locked: 0 };
  await fc.assert(
    fc.asyncProperty(
      fc.record({ a: anyMember, b: anyMember, c: anyMember }),
      fc.array(anyCall, { minLength: 20, maxLength: 60, size: "max" }),
      async (options, calls) => {
        const clock = new ManualClock();
        const memory = new MemoryStore({ clock });
        const store = kind === "memory" ? memory : asyncStore({ memory });
        // Created in another order than the listed one.
        const created = Object.entries(options).map(([name, { limits, policy, isShadow }]) => {
          const mode = isShadow ? "shadow" : "enforce";
          const limiter = new AnyLimiter(limits, { name, store, bypass: false, mode, ...lockOptions(policy) });
          return { name: name as Name, limits, isShadow, limiter, model: new Model(policy) };
        });
        const of = (name: Name): (typeof created)[number] => created.find((member) => member.name === name)!;
        const all = allOf({ c: of("c").limiter, a: of("a").limiter, b: of("b").limiter });
        for (const { keys, cost, waitMs, lock } of calls) {
          clock.set(clock.now() + waitMs);
          if (lock !== null) {
            const { limiter, model } = of(lock.name);
            if (lock.ms === 0) expect(await limiter.unlock("ada")).toBe(model.unlock("ada", clock.now()));
            else {
              await limiter.lock("ada", `${lock.ms}ms`);
              model.lock("ada", lock.ms, clock.now());
            }
          }
          const expected =
            kind === "memory"
              ? decideTogether(NAMES.map(of), keys, cost, clock.now())
              : decideInOrder(created, keys, cost, clock.now());
          const { members, allowed } = await all.check(keys, { cost });
          for (const name of NAMES) {
            const decision = members[name];
            const model = expected.get(name);
            expect([name, decision && factsOf(decision)]).toEqual([name, model === undefined ? null : factsOf(model)]);
            if (model?.refusedBy === "limit" && model.lockedForMs > 0) total.strikes += 1;
            if (model?.refusedBy === "lock") total.locked += 1;
          }
          const isRefused = [...expected].some(([name, decision]) => !decision.allowed && !of(name).isShadow);
          expect(allowed).toBe(!isRefused);
          for (const { name, limiter, model, limits } of created) {
            const longest = Math.max(...limits.map(({ periodMs }) => periodMs));
            const lastReset = clock.now() - longest;
            const calls = model.used("ada", longest, clock.now());
            expect([name, await limiter.state("ada")]).toEqual([
              name,
              { calls, lastReset, ...model.lockOf("ada", clock.now()) },
            ]);
          }
        }
      },
    ),
    { numRuns: 250 },
  );
  expect(Math.min(total.strikes, total.locked)).toBeGreaterThan(100);
});
