import type { Decision } from "../core/decision.js";
import { expected, knownOptions, optionalFunction } from "../core/expected.js";
import { isPromiseLike } from "../core/mutex.js";
import type { AllOfDecision } from "../limiter/all-of.js";
import { allOf } from "../limiter/all-of.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { digested } from "./digested.js";
import type { HttpLimiter } from "./http-limiter.js";
import { httpLimiter } from "./http-limiter.js";
import type { BySeveral, HttpOptions, MemberOptions, Soon } from "./options.js";
import type { Answer } from "./policy.js";
import { checkPolicyNames } from "./policy.js";

/** What there is to ask about one request: its limiters and keys are known. */
export interface Question {
  ask(cost: number | undefined): Decision | Promise<Decision>;
  /** What each limiter that was asked said. */
  answersIn(decision: Decision): readonly Answer[];
  /** Whether the limiter that binds is one against abnormal use. */
  isAbuse(decision: Decision): boolean;
  refund(decision: Decision): Promise<unknown>;
}

/**
 * Makes the question about a request; undefined where no limit applies to it.
 *
 * It is there at once where nothing has to be waited for, which is the rule: each promise more is felt on a fast framework.
 */
export type Asker<R> = (request: R) => Question | undefined | Promise<Question | undefined>;

/** What a question is made of beside the options. */
export interface Asking<R> {
  /** The key of a request's client, where there is no other; null where nobody is to be limited. */
  readonly clientOf: (request: R) => string | null;
  /** The names of limits stand in a header, and must be fit for it. */
  readonly isNamed: boolean;
  readonly needsRefund: boolean;
}

/**
 * Makes what asks about requests: one limiter, or several at once.
 *
 * @throws TypeError when neither or both are given, or a limiter is none; RangeError for the name of a limit that cannot
 *   stand in a header. For what a function returns: as a rejection, at the request.
 */
export function askerOf<R, K extends string, A extends readonly unknown[]>(
  options: HttpOptions<R, K, A>,
  asking: Asking<R>,
): Asker<R> {
  if (options.limiters === undefined) {
    return one(options.limiter, options.key, asking);
  }
  const { limiter, key }: { limiter?: unknown; key?: unknown } = options;
  for (const [name, value] of Object.entries({ limiter, key })) {
    if (value !== undefined) {
      throw new TypeError(expected(name, "absent beside `limiters`, each of which has its own", value));
    }
  }
  return several(options.limiters, asking);
}

function one<R, K extends string>(
  limiter: unknown,
  key: ((request: R) => Soon<K | null>) | undefined,
  asking: Asking<R>,
): Asker<R> {
  const limiterOf = limiterOfRequest<R, HttpLimiter<K>>(limiter, asking, (value) =>
    httpLimiter("limiter", value, asking.needsRefund),
  );
  const keyOf = keyOfRequest("key(request)", key, asking);
  const question = (asked: HttpLimiter<K>, found: string | null): Question | undefined =>
    found === null ? undefined : new OneLimiter(asked, found as K);
  return (request) => {
    // In this order: a key that throws would leave behind the promise of a limiter, whose rejection nobody hears.
    const found = keyOf(request);
    const asked = limiterOf(request);
    if (!isPromiseLike(asked) && !isPromiseLike(found)) return question(asked, found);
    return Promise.all([asked, found]).then(([late, lately]) => question(late, lately));
  };
}

/** The question to one limiter. A class, because one is made for each request, and methods cost nothing then. */
class OneLimiter<K extends string> implements Question {
  readonly #limiter: HttpLimiter<K>;
  readonly #key: K;

  constructor(limiter: HttpLimiter<K>, key: K) {
    this.#limiter = limiter;
    this.#key = key;
  }

  ask(cost: number | undefined): Decision | Promise<Decision> {
    const limiter = this.#limiter;
    if (limiter.synchronous === true && limiter.checkSync !== undefined) {
      return limiter.checkSync(this.#key, cost === undefined ? undefined : { cost });
    }
    return cost === undefined ? limiter.check(this.#key) : limiter.check(this.#key, { cost });
  }

  answersIn(decision: Decision): readonly Answer[] {
    const { name = "default", limits } = this.#limiter;
    return [{ name, limits, decision }];
  }

  isAbuse(): boolean {
    return this.#limiter.guardsAgainst === "abnormal-usage";
  }

  async refund(decision: Decision): Promise<unknown> {
    return this.#limiter.refund?.(decision);
  }
}

function several<R>(limiters: BySeveral<R>["limiters"], asking: Asking<R>): Asker<R> {
  if (typeof limiters !== "object" || (limiters as unknown) === null || Array.isArray(limiters)) {
    throw new TypeError(expected("limiters", "an object of limiters by name", limiters));
  }
  const members = Object.entries(limiters).map(([name, value]) => member(name, value, asking));
  // Where all are known they are checked now, and by `allOf` itself.
  if (members.every(({ fixed }) => fixed !== undefined)) {
    allOf(Object.fromEntries(members.map(({ name, fixed }) => [name, fixed as RateLimiter])));
  }
  return async (request) => {
    const asked = await Promise.all(
      members.map(async ({ name, limiterOf, keyOf }) => ({
        name,
        limiter: await limiterOf(request),
        key: await keyOf(request),
      })),
    );
    const applying = asked.filter(({ key }) => key !== null);
    if (applying.length === 0) return undefined;
    const all = allOf(Object.fromEntries(applying.map(({ name, limiter }) => [name, limiter])));
    const keys = Object.fromEntries(applying.map(({ name, key }) => [name, key]));
    return {
      ask: (cost) => all.check(keys, cost === undefined ? undefined : { cost }),
      answersIn: (decision) => {
        const { members: decided } = decision as AllOfDecision;
        return applying.flatMap(({ name, limiter: { limits } }) => {
          const its = decided[name];
          return its === undefined || its === null ? [] : [{ name, limits, decision: its }];
        });
      },
      isAbuse: (decision) => {
        const { member } = decision as AllOfDecision;
        const binding: HttpLimiter | undefined = asked.find(({ name }) => name === member)?.limiter;
        return binding?.guardsAgainst === "abnormal-usage";
      },
      refund: (decision) => all.refund(decision),
    };
  };
}

interface Member<R> {
  readonly name: string;
  /** The limiter, where it is the same for all requests. */
  readonly fixed: RateLimiter | undefined;
  readonly limiterOf: (request: R) => Promise<RateLimiter> | RateLimiter;
  readonly keyOf: (request: R) => string | null | Promise<string | null>;
}

function member<R>(name: string, value: MemberOptions<R>, asking: Asking<R>): Member<R> {
  const { limiter, key } = knownOptions(`limiters.${name}`, value, ["limiter", "key"]);
  optionalFunction(`limiters.${name}.key`, key);
  const limiterOf = limiterOfRequest<R, RateLimiter>(
    limiter,
    asking,
    (found) => httpLimiter(`limiters.${name}.limiter`, found, asking.needsRefund) as unknown as RateLimiter,
    name,
  );
  return {
    name,
    fixed: typeof limiter === "function" ? undefined : limiter,
    limiterOf,
    keyOf: keyOfRequest(`limiters.${name}.key(request)`, key, asking),
  };
}

/** The limiter for a request: the one given, or the one a function finds for it. Its names are checked once. */
function limiterOfRequest<R, L extends Pick<HttpLimiter, "name" | "limits">>(
  given: unknown,
  { isNamed }: Asking<R>,
  checked: (value: unknown) => L,
  label?: string,
): (request: R) => L | Promise<L> {
  const known = new WeakSet<L>();
  const fit = (value: unknown): L => {
    const limiter = checked(value);
    if (known.has(limiter)) return limiter;
    if (isNamed) checkPolicyNames(label ?? limiter.name ?? "default", limiter.limits ?? [{}]);
    known.add(limiter);
    return limiter;
  };
  if (typeof given === "function" && !("check" in given)) {
    return async (request) => fit(await (given as (request: R) => unknown)(request));
  }
  const fixed = fit(given);
  return () => fixed;
}

/** The key for a request, digested where it is long; null where the limit does not apply. */
function keyOfRequest<R>(
  name: string,
  key: ((request: R) => Soon<string | null>) | undefined,
  { clientOf }: Asking<R>,
): (request: R) => string | null | Promise<string | null> {
  const fit = (found: string | null): string | null | Promise<string> => {
    if (found === null) return null;
    if (typeof found === "string") return digested(found);
    throw new TypeError(expected(name, "a string, or null where the limit does not apply", found));
  };
  if (key === undefined) return clientOf;
  return (request) => {
    const found = key(request);
    return isPromiseLike(found) ? Promise.resolve(found).then(fit) : fit(found);
  };
}
