import { countInProcess } from "../core/copies.js";
import { expected } from "../core/expected.js";
import { andThen } from "../core/promise-like.js";
import { isLookup } from "../guard/limiter-like.js";
import { digested } from "./digested.js";
import type { HttpLimiter } from "./http-limiter.js";
import { CheckedLimiter, httpLimiter } from "./http-limiter.js";
import { isHandlingRequest, noteMadeFor } from "./made-per-request.js";
import type { Soon } from "./options.js";
import { checkPolicyNames } from "./policy.js";
import type { Asking } from "./question.js";

/**
 * The limiter for a request: the one given, or the one that a function finds for it. Each is checked once.
 *
 * @param name - of the option that holds it, for errors.
 * @param label - the name of its policies, in place of its own.
 */
export function limiterOfRequest<R, K extends string>(
  name: string,
  given: HttpLimiter<K> | ((request: R) => Soon<HttpLimiter<K>>),
  { isNamed, needsRefund, misuse }: Asking<R>,
  label?: string,
): (request: R) => CheckedLimiter<K> | Promise<CheckedLimiter<K>> {
  const known = new WeakMap<object, CheckedLimiter<K>>();
  const fit = (value: unknown): CheckedLimiter<K> => {
    const before = known.get(value as object);
    if (before !== undefined) return before;
    const limiter = httpLimiter<K>(name, value, needsRefund);
    const checked = new CheckedLimiter(limiter);
    if (isNamed) checkPolicyNames(label ?? checked.name, checked.limits);
    known.set(limiter, checked);
    return checked;
  };
  const identify = misuse?.identity;
  const noteMade = (request: R, { isInMemory, warns }: CheckedLimiter<K>): void => {
    if (identify !== undefined && isInMemory && warns) noteMadeFor(identify(request));
  };
  if (isLookup(given)) {
    return async (request) => {
      const madeBefore = countInProcess();
      const found = await given(request);
      const isNew = !known.has(found);
      const checked = fit(found);
      if (isNew && countInProcess() > madeBefore) noteMade(request, checked);
      return checked;
    };
  }
  const fixed = fit(given);
  let isMadeForOne = identify !== undefined && !fixedBefore.has(given) && isHandlingRequest();
  fixedBefore.add(given);
  return (request) => {
    if (isMadeForOne) {
      isMadeForOne = false;
      noteMade(request, fixed);
    }
    return fixed;
  };
}

/** The limiters that were handed over once: those are not made for a request, whatever is made around them. */
const fixedBefore = new WeakSet();

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
