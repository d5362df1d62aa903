import fc from "fast-check";
import type { CallOptions, Limit, MaxCalls } from "../../src/index.js";

/** One to three limits with any depths and periods. The first has no name. */
export const anyLimits = fc
  .array(fc.record({ maxCalls: fc.integer({ min: 0, max: 8 }), periodMs: fc.integer({ min: 1, max: 40 }) }), {
    minLength: 1,
    maxLength: 3,
  })
  .map((list): Limit[] => list.map((limit, at) => (at === 0 ? limit : { ...limit, name: `layer ${String(at)}` })));

const key = fc.constantFrom("ada", "__proto__");
const cost = fc.constantFrom(1, 1, 1, 2, 3, 9);
/** The `maxCalls` of a call, layer by layer: one in four has its own. */
export const ownMaxCalls = fc.option(fc.array(fc.nat({ max: 8 }), { minLength: 3, maxLength: 3 }), {
  freq: 3,
  nil: undefined,
});

/** How refusals lock keys: one limiter in four has no such policy. */
export const anyPolicy = fc.option(
  fc.record({
    stepsMs: fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 3 }),
    forgetAfterMs: fc.integer({ min: 1, max: 120 }),
  }),
  { freq: 3, nil: undefined },
);

/** Which lock an `unlock` or `reset` is meant for: any, the one that the last `state` step has seen, or none. */
const meant = fc.constantFrom<Meant>("any", "any", "seen", "none");

/** Any step of a limiter or its clock. */
export const anyStep = fc.oneof(
  { weight: 16, arbitrary: fc.record({ do: fc.constant("check" as const), key, cost, own: ownMaxCalls }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("isAllowed" as const), key, cost, own: ownMaxCalls }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("peek" as const), key, cost, own: ownMaxCalls }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("state" as const), key }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("refund" as const), which: fc.nat({ max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("reset" as const), key, meant }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("lock" as const), key, ms: fc.integer({ min: 1, max: 60 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("unlock" as const), key, meant }) },
  // Load: every limit above it is reduced to it.
  { weight: 1, arbitrary: fc.record({ do: fc.constant("reduce" as const), to: fc.constantFrom(1, 2, 4, Infinity) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("resetAll" as const) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("move" as const),
      to: fc.array(fc.nat({ max: 8 }), { minLength: 3, maxLength: 3 }),
    }),
  },
  // To just before, exactly, and just after the end of a lock, or of the time after it in which strikes count.
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("waitForLock" as const),
      key,
      isForgotten: fc.boolean(),
      ms: fc.constantFrom(-1, 0, 1),
    }),
  },
  // Forwards and backwards, and to just before, exactly, and just after the end of a period.
  { weight: 6, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: -30, max: 60 }) }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant("waitOut" as const), layer: fc.nat(2), ms: fc.constantFrom(-1, 0, 1) }),
  },
);

/** Which lock a step is meant for. */
export type Meant = "any" | "seen" | "none";

export type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

/** The options of a call, and the limits that apply to it. Only the only limit, and those with names, have their own `maxCalls`. */
export function callOf(
  limits: readonly Limit[],
  cost: number,
  own: readonly number[] | undefined,
): { readonly options: CallOptions<MaxCalls>; readonly limits: readonly Limit[] } {
  if (own === undefined) return { options: { cost }, limits };
  const moved = limits.map((limit, at) => {
    return limits.length > 1 && limit.name === undefined ? limit : { ...limit, maxCalls: own[at] as number };
  });
  const byName = Object.fromEntries(
    moved.flatMap(({ name, maxCalls }) => (name === undefined ? [] : [[name, maxCalls]])),
  );
  return { options: { cost, maxCalls: limits.length > 1 ? byName : own[0] }, limits: moved };
}

/** The milliseconds by which a step moves the clock, or 0. */
export function moveOf(step: Step, limits: readonly Limit[]): number {
  if (step.do === "wait") return step.ms;
  if (step.do === "waitOut") return (limits[step.layer % limits.length]?.periodMs ?? 0) + step.ms;
  return 0;
}
