import { expected } from "../core/expected.js";
import { andThen } from "../core/promise-like.js";
import { digested } from "./digested.js";
import type { HttpLimiter } from "./http-limiter.js";
import { givenName } from "./http-limiter.js";
import type { Soon } from "./options.js";
import { checkPolicyNames } from "./policy.js";
import type { Asking } from "./question.js";

/** The limiter for a request: the one given, or the one a function finds for it. Its names are checked once. */
export function limiterOfRequest<R, L extends Pick<HttpLimiter, "name" | "limits">>(
  given: unknown,
  { isNamed }: Asking<R>,
  checked: (value: unknown) => L,
  label?: string,
): (request: R) => L | Promise<L> {
  const known = new WeakSet<L>();
  const fit = (value: unknown): L => {
    const limiter = checked(value);
    if (known.has(limiter)) return limiter;
    if (isNamed) checkPolicyNames(label ?? givenName(limiter), limiter.limits);
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
export function keyOfRequest<R>(
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
  return (request) => andThen(key(request), fit);
}
