import { parseDuration } from "../../core/duration.js";
import type { Duration } from "../../core/duration.js";
import type { LockPolicy } from "../../core/locks.js";
import {
  rangeError,
  assertBoolean,
  typeError,
  parseOptions,
  assertOneOf,
  assertOptionalFunction,
  assertInteger,
} from "../../core/validate.js";
import { publish, published } from "../../core/copies.js";
import type { BatchItem, AsyncNamespace, AsyncStore, Store, BatchResult } from "../store.js";
import { assertNameIsFree } from "../store.js";
import type { Backend } from "./backend.js";
import { checkBatch } from "./check-batch.js";
import type { Fallback, FallbackOwner } from "./fallback.js";
import { allowFallback, storeFallback, denyFallback } from "./fallback.js";
import { GuardedBackend } from "./guarded-backend.js";
import { RemoteNamespace } from "./remote-namespace.js";
import type { SharedState } from "./shared-state.js";
import { fallbacksIn, sharedState } from "./shared-state.js";

/** Options of every store that keeps its logs on a server. */
export interface RemoteStoreOptions {
  /** What the keys on the server begin with: `keyPrefix:name:key`. Not empty. @default "rate_limit" */
  readonly keyPrefix?: string | undefined;
  /** The longest wait for a reply: a duration with its unit, up to 24 days. @default "100ms" */
  readonly timeout?: Duration | undefined;
  /**
   * What decides while the server is unreachable: `"local"`, a `MemoryStore` of this process; `"allow"` admits every call;
   * `"deny"` rejects every call with a `StoreError`, which is a 503 over HTTP; or another store.
   * @default "local"
   */
  readonly whenDown?: "local" | "allow" | "deny" | Store | undefined;
  /**
   * How many instances of the service there are: each `maxCalls` is divided by it, and rounded up, while a store decides
   * as `whenDown` says. @default 1
   */
  readonly instances?: number | undefined;
  /**
   * Refuses calls without a command if the server has refused them and would refuse them again. A reset, an unlock, a refund or a
   * raised limit in another process takes effect within `maxAge` and a round trip. Such a decision has the source `"deny-cache"`.
   * With `lockFor` it refuses only calls of locked keys, and those that never pass: another refusal may be a strike.
   * @default { maxAge: "1s" }
   */
  readonly denyCache?: false | { readonly maxAge?: Duration | undefined } | undefined;
  /**
   * Called for every failure of the server; its return value is ignored, and an error that it throws becomes a process warning. Without
   * it, the first failure of a client becomes a process warning, and later ones are not reported.
   */
  readonly onStoreError?: ((error: unknown) => unknown) | undefined;
  /** `false` disables the process warnings about misuse. @default true */
  readonly warnings?: boolean | undefined;
}

/** Timers fire immediately for more than 2^31 - 1 milliseconds. */
const LONGEST_TIMEOUT_MS = 24 * 86_400_000;

/** The names of {@link RemoteStoreOptions}. */
export const REMOTE_OPTIONS: readonly string[] = [
  "keyPrefix",
  "timeout",
  "whenDown",
  "instances",
  "denyCache",
  "onStoreError",
  "warnings",
];

/** Options of other packages, with their names here. */
export const REMOTE_RENAMED: Readonly<Record<string, string>> = {
  insuranceLimiter: "whenDown",
  passOnStoreError: "whenDown",
  skipOnError: "whenDown",
};

/**
 * Keeps the logs of a fleet on a server, behind a {@link Backend}: adds to it the deadline, the circuit breaker, the deny cache,
 * and the fallback that decides while the server is unreachable.
 */
export class RemoteStore implements AsyncStore {
  static {
    publish(this.prototype, "store");
  }

  /** `false`: its methods return promises. */
  readonly synchronous = false as const;

  readonly #shared: SharedState;
  readonly #server: GuardedBackend;
  readonly #keyPrefix: string;
  /** How long a denial is kept at most; 0 for not at all. */
  readonly #denyMs: number;
  readonly #fallbackFor: FallbackFor;
  readonly #warns: boolean;
  readonly #names = new Set<string>();

  /**
   * @param options - known options, whose values are checked here.
   * @param client - what the stores share that count together during an outage.
   * @param backendOf - makes the backend of a client, once. What it throws is thrown.
   * @throws TypeError for an option of the wrong type, RangeError for one out of range.
   */
  constructor(options: RemoteStoreOptions, client: unknown, backendOf: (client: unknown) => Backend) {
    const { keyPrefix = "rate_limit", timeout = "100ms", whenDown = "local", instances = 1, warnings = true } = options;
    assertBoolean("warnings", warnings);
    if (typeof keyPrefix !== "string") throw typeError("keyPrefix", "a non-empty string", keyPrefix);
    if (keyPrefix === "") throw rangeError("keyPrefix", "a non-empty string", keyPrefix);
    const timeoutMs = parseDuration("timeout", timeout);
    if (timeoutMs > LONGEST_TIMEOUT_MS) throw rangeError("timeout", "at most 24 days", timeout);
    assertOptionalFunction("onStoreError", options.onStoreError);
    this.#denyMs = denyMsFrom(options.denyCache);
    this.#fallbackFor = fallbackFrom(whenDown, assertInteger("instances", instances, 1));
    this.#keyPrefix = keyPrefix;
    this.#warns = warnings;
    this.#shared = sharedState(client, backendOf);
    this.#server = new GuardedBackend(this.#shared, keyPrefix, timeoutMs, options.onStoreError);
  }

  open(name: string, periodsMs: readonly number[], locks?: LockPolicy): AsyncNamespace {
    assertNameIsFree(name, this.#names);
    const prefix = `${this.#keyPrefix}:${name}:`;
    const client = this.#shared;
    const fallback = this.#fallbackFor({ client, name, keyPrefix: this.#keyPrefix, periodsMs, locks });
    const shared = client.namespace(prefix);
    this.#names.add(name);
    shared.join(name, this.#warns);
    return new RemoteNamespace(this.#server, prefix, periodsMs, locks, fallback, shared.denyCache(this.#denyMs), {
      firstLimits: (limits) => {
        if (this.#warns) shared.compareLimits(limits, locks);
      },
      whileChanging: (key, change) => shared.whileChanging(key, change),
      closed: () => {
        fallback.close();
        this.#names.delete(name);
        client.leave(prefix, shared);
      },
    });
  }

  /**
   * Checks several keys by one call of the backend: those of any store with the same client. In a cluster they must be on one
   * server.
   */
  async checkBatch(items: readonly BatchItem[]): Promise<BatchResult> {
    const entries = items.map(({ namespace, ...item }) =>
      namespace instanceof RemoteNamespace ? namespace.batchEntry(item) : undefined,
    );
    return (await checkBatch(entries)) ?? { checkers: items.map(({ namespace }) => namespace) };
  }
}

function denyMsFrom(denyCache: RemoteStoreOptions["denyCache"] = {}): number {
  if (denyCache === false) return 0;
  const { maxAge = "1s" } = parseOptions("denyCache", denyCache, ["maxAge"]);
  return parseDuration("denyCache.maxAge", maxAge);
}

type FallbackFor = (owner: FallbackOwner & { readonly client: SharedState }) => Fallback;

function fallbackFrom(whenDown: unknown, instances: number): FallbackFor {
  if (typeof whenDown === "object" && typeof (whenDown as Partial<Store> | null)?.open === "function") {
    published("whenDown", whenDown, "store");
    const fallbacks = fallbacksIn(whenDown as Store);
    return (owner) => {
      fallbacks.reserve(owner);
      return storeFallback(fallbacks, owner, instances);
    };
  }
  if (typeof whenDown !== "string") {
    throw typeError("whenDown", '"local", "allow", "deny" or a store with an `open` function', whenDown);
  }
  switch (assertOneOf("whenDown", whenDown, ["local", "allow", "deny"])) {
    case "allow":
      return () => allowFallback;
    case "deny":
      return () => denyFallback;
    case "local":
      return ({ client, ...owner }) => {
        // A name may not hold a `:`. Nothing is reserved or opened before the first failure.
        const name = JSON.stringify([owner.keyPrefix, owner.name, owner.periodsMs, owner.locks]).replaceAll(":", "\n");
        return storeFallback(client.localFallbacks, { client, ...owner, name }, instances);
      };
  }
}
