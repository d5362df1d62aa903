import type { Bypass } from "../core/bypass.js";
import type { Clock } from "../core/clock.js";
import { published } from "../core/copies.js";
import type { Decision } from "../core/decision.js";
import type { LockOptions } from "../core/locks.js";
import {
  rangeError,
  assertBoolean,
  typeError,
  assertInteger,
  assertOneOf,
  assertOptionalFunction,
  memberOf,
  parseOptions,
} from "../core/validate.js";
import type { MaxCalls } from "../core/limit.js";
import { MemoryStore } from "../store/memory/memory-store.js";
import type { Store } from "../store/store.js";

/** The options that all limiters have, without store and clock. */
export interface PolicyOptions<K extends string> extends LockOptions {
  /**
   * The name of the limiter in its store: a non-empty string without `:`. Limiters that share a store need different names.
   * @default "default"
   */
  readonly name?: string | undefined;
  /**
   * When not to limit.
   * @default testingBypass, which reads `TESTING=1` live; `false` where `NODE_ENV` was `"production"` at construction
   */
  readonly bypass?: Bypass<K> | undefined;
  /**
   * `"shadow"` decides and reports, but allows every call: it shows what a limit would refuse before it is enforced.
   * @default "enforce"
   */
  readonly mode?: "enforce" | "shadow" | undefined;
  /**
   * Called with every decision but those of `peek`, before the caller gets it. If it throws or rejects, that is a process
   * warning, and the decision stands.
   */
  readonly onDecision?: ((decision: Decision, key: K) => unknown) | undefined;
  /** `false` switches off the process warnings about misuse of this limiter: see `docs/errors.md`. @default true */
  readonly warnings?: boolean | undefined;
}

/** The store, or the clock of the default store: any other store has its own clock. */
export type StoreOptions =
  | {
      /** The store that keeps the logs. @default a new MemoryStore */
      readonly store?: undefined;
      /** The clock of the default store. @default the monotonic clock of the process */
      readonly clock?: Clock | undefined;
    }
  | {
      /** The store that keeps the logs. */
      readonly store: Store;
      /** Not together with `store`, which has its own clock. */
      readonly clock?: undefined;
    };

/** The options that all limiters have. */
export type LimiterOptions<K extends string> = PolicyOptions<K> & StoreOptions;

const SHARED = ["name", "store", "clock", "bypass", "mode", "onDecision", "warnings", "lockFor", "forgetAfter"];

/**
 * Checks the options of a limiter, and that there are no unknown ones, and returns a copy.
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
  if (warnings !== undefined) assertBoolean("warnings", warnings);
  if (store === undefined) return checked;
  assertStore(store);
  if (clock !== undefined) {
    throw typeError("clock", "absent beside `store`, which has a clock of its own", clock);
  }
  return checked;
}

/** Checks that a value is a store. @throws TypeError if it is none, or of an incompatible copy of this package. */
export function assertStore(store: unknown): void {
  if (typeof memberOf(store, "open") !== "function") {
    throw typeError("store", "a store with an `open` function", store);
  }
  published("store", store, "store");
}

/** The store of the options, or a new one. Precondition: the options are checked. */
export function storeFrom({ store, clock }: StoreOptions): Store {
  return store ?? new MemoryStore({ clock });
}

/**
 * Options of one call.
 *
 * @typeParam M - the `maxCalls` that the limiter takes. The default is none, for options that every limiter takes.
 */
export interface CallOptions<M extends MaxCalls = never> {
  /**
   * How many calls this one counts as: a whole number, at least 1. Each unit takes 8 bytes while it is in the window, so a cost
   * suits small numbers, and not numbers of bytes.
   * @default 1
   */
  readonly cost?: number | undefined;
  /**
   * Decides this call at another limit, and reads the same log: a number, or, for a limiter of several limits, an object of
   * numbers by name, where a limit that is absent stays as it is. Whole numbers from 0, which refuses the call, to 16,777,216.
   * The periods stay.
   * @default the limits of the limiter
   */
  readonly maxCalls?: M | undefined;
}

/** Options of `unlock`, and of a `reset` of one key. */
export interface UnlockOptions {
  /**
   * The `lockedUntil` of the `state` of the key. If the key has been locked again since then, nothing changes: what was decided
   * before a newer lock does not remove it.
   * @default undefined, which removes any lock
   */
  readonly lockedUntil?: number | null | undefined;
}

/** The options of one call, read once. */
export interface CallRequest {
  readonly cost: number;
  /** Not checked: the limits of the limiter decide what is valid. */
  readonly maxCalls: unknown;
}

const NO_OPTIONS: CallRequest = Object.freeze({ cost: 1, maxCalls: undefined });

/** Long enough for several identifiers as JSON, and short enough for a million keys in memory. */
const LONGEST_KEY = 1024;

/**
 * Checks a key. A key of `undefined` is a common bug: all callers would share one limit.
 *
 * @throws TypeError if it is not a string, RangeError if it is longer than 1,024 characters (UTF-16 code units): a client that
 *   chooses the key must not choose how much memory it takes. Every other string is valid, the empty one included.
 */
export function assertKey(key: unknown, name: string = "key"): void {
  if (typeof key !== "string") throw typeError(name, "a string", key);
  if (key.length > LONGEST_KEY) {
    // Without the key, which may be a secret, and is too long for a log.
    const rule = "a string of at most 1,024 characters (hash a longer key, or bound what it is made of)";
    throw rangeError(name, rule, `${key.length} characters`);
  }
}

/**
 * Reads the options of a call.
 *
 * @throws TypeError for a wrong type or an unknown option, RangeError for a cost that is fractional or below 1.
 */
export function parseCall(options: { readonly cost?: unknown; readonly maxCalls?: unknown } | undefined): CallRequest {
  if (options === undefined) return NO_OPTIONS;
  const { cost, maxCalls } = parseOptions("options", options, ["cost", "maxCalls"]);
  return { cost: cost === undefined ? 1 : assertInteger("cost", cost, 1), maxCalls };
}
