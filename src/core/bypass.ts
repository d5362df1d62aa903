import { typeError } from "./validate.js";

/**
 * When not to limit: `false` for never, or a function of the key that is called for every call (an allow-list, for example).
 *
 * The function must return `true` or `false`. Any other value, such as a promise, is a `TypeError`, because a truthy object would
 * bypass the limit for every key.
 */
export type Bypass<K extends string> = false | ((key: K) => boolean);

/**
 * Whether `TESTING=1` is set, read from the environment at every call: the default `bypass`.
 *
 * Passed as the `bypass` option, it also applies under `NODE_ENV=production`, where the default does not. Without a `process`, or
 * without permission to read the environment (in Deno), the variable counts as unset.
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
 * `NODE_ENV` is read here, once, and not at each call: a variable that leaks into a production service must not bypass its limits,
 * and reading the environment costs more than deciding a call.
 *
 * @throws TypeError if it is neither `false` nor a function.
 */
export function bypassFrom<K extends string>(option: Bypass<K> | undefined): ((key: K) => boolean) | undefined {
  if (option === undefined) return environment("NODE_ENV") === "production" ? undefined : testingBypass;
  if (option === false) return undefined;
  if (typeof option !== "function") throw typeError("bypass", "false or a function of the key", option);
  return (key) => {
    let isBypassed: unknown;
    try {
      isBypassed = option(key);
    } catch (cause) {
      // Not a StoreError: `whenDown` must not allow the call because of a broken option.
      throw new TypeError("The `bypass` of a limiter failed", { cause });
    }
    if (typeof isBypassed !== "boolean") throw typeError("bypass(key)", "a boolean, and no promise of one", isBypassed);
    return isBypassed;
  };
}

function environment(name: string): string | undefined {
  try {
    const env = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env;
    // A property of a polluted `Object.prototype` is not a variable. The check is a second system call, so it is the last.
    if (env === undefined || (name in Object.prototype && !Object.hasOwn(env, name))) return undefined;
    return env[name];
  } catch {
    return undefined;
  }
}
