import type { Bypass } from "../core/bypass.js";
import type { Clock } from "../core/clock.js";
import { published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import {
  argumentError,
  assertInteger,
  assertOneOf,
  assertOptionalFunction,
  memberOf,
  parseOptions,
} from "../core/validate.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Store } from "../store/store.js";

/** What every limiter can be given beside its limits, apart from its store and clock. */
export interface PolicyOptions<K extends string> {
  /**
   * What this limiter is called in its store: a non-empty string without `:`. Limiters that share a store need one each.
   * @default "default"
   */
  readonly name?: string | undefined;
  /**
   * When not to limit.
   * @default testingBypass, which reads `TESTING=1` live; `false` where `NODE_ENV` was `"production"` at construction
   */
  readonly bypass?: Bypass<K> | undefined;
  /**
   * `"shadow"` decides and reports, but lets every call through, to see what a limit would do before it does it.
   * @default "enforce"
   */
  readonly mode?: "enforce" | "shadow" | undefined;
  /**
   * Hears every decision but those of `peek`, before the caller does. What it throws or rejects with becomes a process
   * warning, and changes nothing.
   */
  readonly onDecision?: ((decision: Decision, key: K) => unknown) | undefined;
  /** `false` switches off the process warnings about misuse of this limiter: see "Warnings" in the README. @default true */
  readonly warnings?: boolean | undefined;
}

/** Where history lives, or what time it is: a clock belongs to the default store, and any other store has its own. */
export type StoreOptions =
  | {
      /** Where history lives. @default a new MemoryStore */
      readonly store?: undefined;
      /** What time it is for the default store. @default the process's monotonic clock */
      readonly clock?: Clock | undefined;
    }
  | {
      /** Where history lives. */
      readonly store: Store;
      /** Not beside `store`: a store owns its clock. */
      readonly clock?: undefined;
    };

/** What every limiter can be given beside its limits. */
export type LimiterOptions<K extends string> = PolicyOptions<K> & StoreOptions;

const SHARED = ["name", "store", "clock", "bypass", "mode", "onDecision", "warnings"];

/**
 * Checks a limiter's options, and that there are no others, and returns a copy to read them from.
 *
 * @param own - the names of the options that this kind of limiter has in addition to those of all limiters.
 * @param renamed - names of options in other packages, with their names here.
 * @throws TypeError if one is unknown or of the wrong type, RangeError if one is out of range.
 */
export function checkedOptions<O extends LimiterOptions<never>>(
  options: O,
  own: readonly string[],
  renamed: Readonly<Record<string, string>> = {},
): O {
  const checked = parseOptions("options", options, [...new Set([...own, ...SHARED])], {
    keyPrefix: "name",
    ...renamed,
  });
  const { mode, onDecision, store, clock, warnings } = checked as Readonly<Partial<Record<string, unknown>>>;
  if (mode !== undefined) assertOneOf("mode", mode, ["enforce", "shadow"]);
  assertOptionalFunction("onDecision", onDecision);
  if (warnings !== undefined && typeof warnings !== "boolean") {
    throw new TypeError(argumentError("warnings", "a boolean", warnings));
  }
  if (store === undefined) return checked;
  if (typeof memberOf(store, "open") !== "function") {
    throw new TypeError(argumentError("store", "a store with an `open` function", store));
  }
  published("store", store, "store");
  if (clock !== undefined) {
    throw new TypeError(argumentError("clock", "absent beside `store`, which has a clock of its own", clock));
  }
  return checked;
}

/** The store a limiter was given, or one of its own. Precondition: the options are checked. */
export function storeFrom({ store, clock }: StoreOptions): Store {
  return store ?? new MemoryStore({ clock });
}

/** What one call can be given. */
export interface CallOptions {
  /**
   * What this call spends: a whole number, at least 1. Each unit takes 8 bytes while it is in the window, so a cost is for
   * small numbers, and not for bytes.
   * @default 1
   */
  readonly cost?: number | undefined;
}

/** Long enough for several identifiers as JSON, and short enough to be kept a million times. */
const LONGEST_KEY = 1024;

/**
 * Checks a key. The classic bug is a key of `undefined`, with which all callers would share one limit.
 *
 * @throws TypeError when it is not a string, RangeError when it is longer than 1,024 characters (UTF-16 code units): a caller
 *   who chooses the key must not choose how much memory it takes. Any other string is a key, the empty one included.
 */
export function assertKey(key: unknown, name: string = "key"): void {
  if (typeof key !== "string") throw new TypeError(argumentError(name, "a string", key));
  if (key.length > LONGEST_KEY) {
    // Without the key: it may be a secret, and is too long for a log.
    const rule = "a string of at most 1,024 characters (hash a longer key, or bound what it is made of)";
    throw new RangeError(argumentError(name, rule, `${key.length} characters`));
  }
}

/**
 * Reads what a call spends.
 *
 * @throws TypeError for a wrong type or an unknown option, RangeError for a cost that is fractional or below 1.
 */
export function parseCost(options: CallOptions | undefined): number {
  if (options === undefined) return 1;
  const { cost } = parseOptions("options", options, ["cost"]);
  return cost === undefined ? 1 : assertInteger("cost", cost, 1);
}
