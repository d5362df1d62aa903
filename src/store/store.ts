import type { Clock } from "../core/clock.js";
import type { LayerStatus, Receipt, Source } from "../core/decision.js";
import { expected } from "../core/expected.js";
import type { Limit } from "../core/limit.js";

/**
 * Where history lives: it remembers logs and knows the time, and nothing of tiers, load or HTTP.
 *
 * A limiter opens one space at its construction. Clock, key cap and connection are the store's, and shared; logs, periods
 * and `reset()` are a space's own.
 */
export interface Store {
  /** Whether every verb of its spaces answers at once, and never with a promise. */
  readonly synchronous: boolean;

  /** What those go by who wait for a turn. @default the process's monotonic clock */
  readonly clock?: Clock | undefined;

  /**
   * Opens a space for one limiter.
   *
   * @param name - not empty, without `:` (a store may put it into a key, before one).
   * @param periodsMs - the periods of the limits that will be handed over, fixed from here on: one log, one set of
   *   periods. How long a stamp must be kept is the longest of them.
   * @throws RangeError when the name is not fit, or open on this store already: two limiters would share their history.
   *   A name is free again once its space is closed.
   */
  open(name: string, periodsMs: readonly number[]): Space;

  /**
   * Judges several keys at once, for all or nothing. Only a synchronous store can.
   *
   * @param asks - of spaces of this store, no space twice.
   */
  judge?(asks: readonly Ask[]): Judgement;

  /**
   * Checks several keys at once, for all or nothing, where a store answers later: if none that may refuse does, each that
   * passes is recorded, else none is. Without it, the keys are asked one after another.
   *
   * @param asks - of spaces of any store, no space twice.
   */
  checkTogether?(asks: readonly Ask[]): Promise<Together>;
}

/** One key's part in a call about several. */
export interface Ask {
  readonly space: Space;
  readonly key: string;
  readonly limits: readonly Limit[];
  readonly cost: number;
  /** Whether its refusal refuses the whole call. In shadow mode it does not. */
  readonly mayRefuse: boolean;
}

/** What becomes of several asks where a store answers later. */
export type Together =
  /** What `check` says to each; undefined for one that was not asked, because another had refused. */
  | { readonly verdicts: readonly (Verdict | undefined)[] }
  /** They cannot be answered at once, and nothing was recorded: who is to be asked about each, one after another. */
  | { readonly inOrder: readonly Pick<Space, "check">[] };

/** What a store says to several asks at once. It holds for the present synchronous run, and no longer. */
export interface Judgement {
  /** What `check` would say to each, room for all new keys together included. Nothing is recorded yet. */
  readonly verdicts: readonly Verdict[];
  /** Records those that pass, and tells what each limit stands at afterwards. */
  spend(): readonly Verdict[];
}

/**
 * The logs of one limiter, by key. Keys come validated: every string of at most 1,024 characters is a key like any other.
 *
 * Each verb is atomic for its key. Each is given the limits in force at that call, whose number and depths may differ
 * from the last call's, and whose periods are of those the space was opened with. A store that cannot answer throws or
 * rejects with a `StoreError`.
 */
export interface Space {
  /** Records the call if every limit lets it pass, else writes nothing; tells whether it did. The short form of `check`. */
  admit(key: string, limits: readonly Limit[], cost: number): boolean | Promise<boolean>;

  /** Records the call if every limit lets it pass, else writes nothing; tells what each limit stands at afterwards. */
  check(key: string, limits: readonly Limit[], cost: number): Verdict | Promise<Verdict>;

  /** Answers as `check` would, but for the spend: writes nothing, records nothing. */
  peek(key: string, limits: readonly Limit[], cost: number): Verdict | Promise<Verdict>;

  /** Forgets one key, or all of this space without one. Receipts of what is forgotten refund nothing any more. */
  reset(key?: string): void | Promise<void>;

  /** What the log of a key holds in the longest period. */
  state(key: string): KeyState | Promise<KeyState>;

  /**
   * Releases the name of this space, which can be opened again, with other periods. Memory of this process is freed; what
   * other processes share stays, and expires by itself.
   *
   * A limiter calls it once, and no other verb afterwards. Calls under way may still complete, and receipts may still be
   * refunded: that resolves false where the log is gone.
   */
  close(): void;
}

/** A store's answer to one call. */
export interface Verdict {
  /** Milliseconds until the call would pass: 0 when it does, `Infinity` when it never can. */
  readonly retryAfterMs: number;
  /** Milliseconds until the log holds no live call in any layer. */
  readonly resetAfterMs: number;
  /** What each limit stands at, in the order they were handed over. */
  readonly layers: readonly LayerStatus[];
  /** The call was refused because there is no room to remember its key, and not by a limit. */
  readonly noRoom: boolean;
  /** Who gave the answer. */
  readonly source: Source;
  /** What was spent; undefined when nothing was. */
  readonly receipt: Receipt | undefined;
}

/** What a key's log holds. */
export interface KeyState {
  /** Live calls in the longest window, each counted with its cost. */
  readonly calls: number;
  /** Where that window begins, in milliseconds on the store's clock: calls up to this instant count no more. */
  readonly lastReset: number;
}

/**
 * Checks the name of a space and returns it.
 *
 * @throws TypeError when it is not a string, RangeError when it is empty or holds a `:`, which ends it in a key.
 */
export function spaceName(name: unknown): string {
  const rule = "a non-empty string without `:`";
  if (typeof name !== "string") throw new TypeError(expected("name", rule, name));
  if (name === "" || name.includes(":")) throw new RangeError(expected("name", rule, name));
  return name;
}

/**
 * Checks the name of a space that is about to be opened.
 *
 * @param taken - the names of those that are open on the store.
 * @throws TypeError when it is not a string, RangeError when it is not fit, or taken: two limiters would share their history.
 */
export function checkSpaceName(name: unknown, taken: ReadonlySet<string>): void {
  if (!taken.has(spaceName(name))) return;
  const rule = "a name that no other limiter of this store has (without one it is `default`); give each its own";
  throw new RangeError(expected("name", rule, name));
}
