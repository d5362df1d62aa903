import { expected } from "../core/expected.js";
import { oneLimiter } from "./one-limiter.js";
import type { HttpOptions } from "./options.js";
import type { Asker, Asking } from "./question.js";
import { severalLimiters } from "./several-limiters.js";

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
    return oneLimiter(options.limiter, options.key, asking);
  }
  const { limiter, key }: { limiter?: unknown; key?: unknown } = options;
  for (const [name, value] of Object.entries({ limiter, key })) {
    if (value !== undefined) {
      throw new TypeError(expected(name, "absent beside `limiters`, each of which has its own", value));
    }
  }
  return severalLimiters(options.limiters, asking);
}
