import type { Clock } from "../core/clock.js";
import { clockFrom } from "../core/clock.js";
import type { LockPolicy } from "../core/locks.js";
import { ownCopy, parseOptions, rangeError, typeError } from "../core/validate.js";
import type { RemoteStoreOptions } from "../store/remote/remote-store.js";
import { REMOTE_OPTIONS, REMOTE_RENAMED, RemoteStore } from "../store/remote/remote-store.js";
import type { AsyncNamespace } from "../store/store.js";
import { byteLength, LONGEST_PREFIX } from "./encoded-key.js";
import type { KeyValue, VersionedKeyValue } from "./key-value.js";
import { assertKeyValue, isVersioned } from "./key-value.js";
import { KeyValueBackend } from "./key-value-backend.js";

/** Options of a {@link KeyValueStore}. */
export interface KeyValueStoreOptions<
  K extends KeyValue | VersionedKeyValue = KeyValue | VersionedKeyValue,
> extends RemoteStoreOptions {
  /** The key-value store. Stores with the same `kv` object share its keys and its mutex: make it once in each process. */
  readonly kv: K;
  /**
   * The longest wait for the reply to a call, its wait for earlier calls of the key included: a duration with its unit, up to 24 days.
   * Then the call fails. While its read or write has not settled, further calls of its key fail at once. @default "5s"
   */
  readonly timeout?: RemoteStoreOptions["timeout"];
  /**
   * What decides while the key-value store fails: as for other stores, but by default every such call rejects with a `StoreError`.
   * @default "deny"
   */
  readonly whenDown?: RemoteStoreOptions["whenDown"];
  /**
   * The clock that calls are decided by. Stores with the same `kv` have one clock. With it, the default of `denyCache` is `false`,
   * because a denial ages by the clock of the process.
   * @default the wall clock of the process, since monotonic clocks of two processes do not agree
   */
  readonly clock?: Clock | undefined;
}

/** Which processes a limit is exact in: this one alone, or all that use the same keys. */
export type ExactAcross<K extends KeyValue | VersionedKeyValue> = K extends VersionedKeyValue ? "all" : "process";

/** The clock of each `kv` that has stores. */
const clocks = new WeakMap<object, Clock>();

/** A whole millisecond is read for all of its instants. From its middle it is rounded to both ends: see `StoreTime`. */
const wallClock: Clock = { now: () => Date.now() + 0.5 };

/**
 * Keeps the logs in any key-value store: a cache, a file, the storage of an edge platform. One key of it is the log of one key.
 *
 * **In one process** a limit is exact whatever the latency, because the calls of a key are read, decided and written one after
 * another. **In several processes** it is exact only if the key-value store has `compareAndSet`; else two of them may both admit the
 * last call. {@link exactAcross} is `"process"` or `"all"`, as a type as well.
 *
 * Each call reads and writes the whole log of its key, 2 to 6 bytes for each call in the window, so it suits limits up to some
 * thousand calls. Time is the wall clock of the process.
 *
 * @typeParam K - the key-value store.
 *
 * @example
 * const store = new KeyValueStore({ kv: new Map() });
 * const limiter = new AsyncRateLimiter({ maxCalls: 5, period: "15m", store });
 */
export class KeyValueStore<K extends KeyValue | VersionedKeyValue = KeyValue | VersionedKeyValue> extends RemoteStore {
  /** `"all"` if every process that uses these keys counts exactly: with `compareAndSet`. Else `"process"`. */
  readonly exactAcross: ExactAcross<K>;

  /** The clock that was passed; undefined for the wall clock, by which no waiter waits. */
  readonly clock: Clock | undefined;

  readonly #prefix: string;

  /** @throws TypeError for an option that is unknown or of the wrong type, RangeError for one out of range. */
  constructor(options: KeyValueStoreOptions<K>) {
    const checked = parseOptions("options", options, ["kv", "clock", ...REMOTE_OPTIONS], REMOTE_RENAMED);
    const { kv, clock, ...remote } = checked;
    // The deny cache has the clock of the process.
    const { denyCache = clock === undefined ? undefined : false } = checked;
    const { keyPrefix = "rate_limit", timeout = "5s", whenDown = "deny" } = checked;
    const own = clock === undefined ? wallClock : clockFrom("clock", clock);
    const shared = clocks.get(assertKeyValue(kv)) ?? own;
    if (shared !== own) throw typeError("clock", "that of the other stores of this `kv`", clock);
    super(ownCopy({ ...remote, keyPrefix, timeout, whenDown, denyCache }), kv, () => new KeyValueBackend(kv, shared));
    clocks.set(kv, shared);
    this.exactAcross = (isVersioned(kv) ? "all" : "process") as ExactAcross<K>;
    this.clock = clock;
    this.#prefix = keyPrefix;
  }

  /** @throws RangeError if the name is invalid or open, or if it has with the `keyPrefix` more than 62 bytes in UTF-8. */
  override open(name: string, periodsMs: readonly number[], locks?: LockPolicy): AsyncNamespace {
    if (typeof name === "string" && byteLength(`${this.#prefix}:${name}:`) > LONGEST_PREFIX) {
      throw rangeError("name", `at most ${LONGEST_PREFIX - 2} bytes with the \`keyPrefix\``, name);
    }
    return super.open(name, periodsMs, locks);
  }
}
