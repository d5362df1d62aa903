import { argumentError } from "./validate.js";
import { isPromiseLike } from "./callbacks.js";

/**
 * When not to limit: `false` for never, or a function of the key that is asked at every call (an allow-list, say).
 *
 * A function must answer `true` or `false`; anything else, a promise for one, is a `TypeError`, because a truthy object
 * would open the gate to everybody.
 */
export type Bypass<K extends string> = false | ((key: K) => boolean);

/**
 * Whether `TESTING=1` is set, read from the environment at every call: the bypass of limiters that are given none.
 *
 * Handing it over as the `bypass` option makes a limiter obey it under `NODE_ENV=production` too, where by default none
 * does. No `process`, or a refused read (Deno without the permission), counts as unset.
 *
 * @example
 * const limiter = new AsyncRateLimiter({ ...RATE_LIMITS.login, bypass: testingBypass });
 */
export function testingBypass(): boolean {
  return environment("TESTING") === "1";
}

/**
 * Reads the `bypass` option; undefined means that nothing is ever bypassed.
 *
 * Production is looked up here, once, and not at each call: a variable that leaks into a production service must not open
 * it, and reading the environment costs more than judging a call.
 *
 * @throws TypeError when it is neither `false` nor a function.
 */
export function bypassFrom<K extends string>(option: Bypass<K> | undefined): ((key: K) => boolean) | undefined {
  if (option === undefined) return environment("NODE_ENV") === "production" ? undefined : testingBypass;
  if (option === false) return undefined;
  if (typeof option !== "function")
    throw new TypeError(argumentError("bypass", "false or a function of the key", option));
  return (key) => {
    let answer: unknown;
    try {
      answer = option(key);
    } catch (cause) {
      // As a broken option, so that nobody takes it for a store that is down, and lets the call pass.
      throw new TypeError("The `bypass` of a limiter failed", { cause });
    }
    // Nobody will await it: the call is refused with a TypeError below, whatever it settles to.
    if (isPromiseLike(answer)) answer.then(undefined, () => undefined);
    if (typeof answer !== "boolean")
      throw new TypeError(argumentError("bypass(key)", "a boolean, and no promise of one", answer));
    return answer;
  };
}

function environment(name: string): string | undefined {
  try {
    const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env;
    // What somebody has put on `Object.prototype` is no variable. Asked only then, because it is another look into the system.
    if (env === undefined || (name in Object.prototype && !Object.hasOwn(env, name))) return undefined;
    return env[name];
  } catch {
    return undefined;
  }
}
