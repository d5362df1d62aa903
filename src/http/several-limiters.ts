import { expected, knownOptions, optionalFunction } from "../core/expected.js";
import type { AllOfDecision } from "../limiter/all-of.js";
import { allOf } from "../limiter/all-of.js";
import type { RateLimiter } from "../limiter/rate-limiter.js";
import { noteCall } from "./counted-twice.js";
import type { CheckedLimiter } from "./http-limiter.js";
import { keyOfRequest, limiterOfRequest } from "./of-request.js";
import type { BySeveral, MemberOptions } from "./options.js";
import type { Asker, Asking } from "./question.js";

/** Makes what asks several limiters about requests, all or nothing. */
export function severalLimiters<R>(limiters: BySeveral<R>["limiters"], asking: Asking<R>): Asker<R> {
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
    const all = allOf(
      Object.fromEntries(applying.map(({ name, limiter }) => [name, limiter.limiter as unknown as RateLimiter])),
    );
    const keys = Object.fromEntries(applying.map(({ name, key }) => [name, key]));
    return {
      ask: (cost) => {
        for (const { limiter, key } of applying) noteCall(request, limiter, key as string, cost, asking.misuse);
        return all.check(keys, cost === undefined ? undefined : { cost });
      },
      answersIn: (decision) => {
        const { members: decided } = decision as AllOfDecision;
        return applying.flatMap(({ name, limiter: { limits } }) => {
          const its = decided[name];
          return its === undefined || its === null ? [] : [{ name, limits, decision: its }];
        });
      },
      isAbuse: (decision) => {
        const { member } = decision as AllOfDecision;
        return asked.find(({ name }) => name === member)?.limiter.guardsAgainstAbuse === true;
      },
      refund: (decision) => all.refund(decision),
    };
  };
}

interface Member<R> {
  readonly name: string;
  /** The limiter, where it is the same for all requests. */
  readonly fixed: Pick<RateLimiter, "name" | "limits"> | undefined;
  readonly limiterOf: (request: R) => Promise<CheckedLimiter> | CheckedLimiter;
  readonly keyOf: (request: R) => string | null | Promise<string | null>;
}

function member<R>(name: string, value: MemberOptions<R>, asking: Asking<R>): Member<R> {
  const { limiter, key } = knownOptions(`limiters.${name}`, value, ["limiter", "key"]);
  optionalFunction(`limiters.${name}.key`, key);
  const limiterOf = limiterOfRequest<R, string>(`limiters.${name}.limiter`, limiter, asking, name);
  return {
    name,
    fixed: typeof limiter === "function" ? undefined : limiter,
    limiterOf,
    keyOf: keyOfRequest(`limiters.${name}.key(request)`, key, asking),
  };
}
