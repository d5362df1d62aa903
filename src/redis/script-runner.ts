import { StoreError } from "../core/errors.js";
import { callListener, warn } from "../core/callbacks.js";
import { typeError } from "../core/validate.js";
import type { CircuitBreaker } from "./circuit-breaker.js";
import type { Connection, Send } from "./clients.js";
import { Deadline } from "./deadline.js";
import type { Script } from "./script.js";
import {
  isCrossSlot,
  isRedirect,
  isForeignValue,
  isMissingScript,
  isNotPermitted,
  isWriteRefused,
  isUnsettled,
  reasonInWords,
} from "./reply.js";
import type { SharedClient } from "./shared-client.js";
import { sharedClient } from "./shared-client.js";

const CIRCUIT_OPEN = "The circuit breaker is open: no command is sent to Redis, because it did not reply";

/** Redis did not reply, or could not decide: the fallback of `whenDown` decides. */
export class UnreachableError extends StoreError {}

/** No command was sent, so nothing was recorded. */
export class CircuitOpenError extends UnreachableError {}

/** The keys of a command are not on one server of a cluster: nothing was recorded, and each key can be checked separately. */
export class CrossSlotError extends StoreError {}

/** No reply arrived within the timeout of the store. */
class LateReplyError extends Error {
  readonly timeoutMs: number;

  constructor(timeoutMs: number) {
    super(`Redis did not reply within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** Runs scripts on the server or the cluster of a store, with a timeout and a circuit breaker. */
export class ScriptRunner {
  /** The client that was passed to the store. */
  readonly client: object;
  readonly #shared: SharedClient;
  readonly #connection: Connection;
  readonly #deadline: Deadline;
  readonly #breaker: CircuitBreaker;
  readonly #onStoreError: (error: StoreError) => unknown;

  constructor(client: unknown, timeoutMs: number, onStoreError: ((error: unknown) => unknown) | undefined) {
    const shared = sharedClient(client);
    this.client = client as object;
    this.#shared = shared;
    this.#connection = shared.connection;
    this.#deadline = new Deadline(timeoutMs, () => new LateReplyError(timeoutMs));
    this.#breaker = shared.breaker(timeoutMs);
    this.#onStoreError = onStoreError ?? ((failure) => shared.warnOfFailure(failure, reasonOf(failure.cause)));
  }

  /**
   * Runs a script on keys.
   *
   * @throws UnreachableError (as a rejection) if Redis cannot decide, CrossSlotError if the keys are not on one server,
   *   StoreError for a foreign value and for a client of one server of a cluster.
   */
  run({ text, sha1 }: Script, keys: readonly [string, ...string[]], args: readonly string[]): Promise<unknown> {
    const { send } = this.#connection;
    const rest = [String(keys.length), ...keys, ...args];
    return this.#send((isLate) =>
      Promise.resolve(send(["EVALSHA", sha1, ...rest], keys[0], isLate)).catch((error: unknown) => {
        // Nothing has run. This is the only error that is retried: after any other the call may have been recorded. A call that
        // timed out is not retried, because the fallback has decided it.
        if (isLate() || !isMissingScript(error)) throw error;
        return send(["EVAL", text, ...rest], keys[0], isLate);
      }),
    );
  }

  /** Whether one script can run on all of these keys: they share a slot, or the server has no slots. */
  shareSlot(keys: readonly string[]): boolean {
    if (!this.#shared.isCluster) return true;
    const { ownPrefix } = this.#connection;
    return new Set(keys.map((key) => hashedPart(ownPrefix + key))).size === 1;
  }

  /**
   * Removes all keys that begin with `prefix`, in batches, so that the servers reply to other clients in between.
   *
   * A cluster is scanned twice: a key that moves from a server that was not yet scanned to one that was is found by the second scan.
   *
   * @throws StoreError (as a rejection) for a client of one server of a cluster.
   */
  async deleteByPrefix(prefix: string): Promise<void> {
    if (!this.#connection.isCluster && (this.#shared.isCluster || (await this.#isPartOfCluster()))) {
      throw new StoreError(`The client is connected to one server of a Redis Cluster only: ${CLUSTER_ADVICE}`);
    }
    for (let pass = 0; pass < (this.#shared.isCluster ? 2 : 1); pass += 1) {
      const primaries = (await this.#send(() => this.#connection.primaries())) as readonly Send[];
      await Promise.all(primaries.map((primary) => this.#deleteOn(primary, prefix)));
    }
  }

  /** Removes one key. */
  async deleteKey(key: string): Promise<void> {
    await this.#send(() => this.#connection.send(["UNLINK", key], key));
  }

  /** False if the user may not call `INFO`, or the server does not have it. */
  async #isPartOfCluster(): Promise<boolean> {
    const info = await this.#deadline.over(() => this.#connection.send(["INFO", "cluster"], "")).catch(() => "");
    return String(info).includes("cluster_enabled:1");
  }

  async #deleteOn(primary: Send, prefix: string): Promise<void> {
    const { send, ownPrefix } = this.#connection;
    const pattern = `${escaped(ownPrefix + prefix)}*`;
    let cursor = "0";
    do {
      const reply = await this.#send(() => primary(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]));
      const [next, found] = reply as [unknown, unknown[]];
      cursor = String(next);
      const keys = found.map((key) => String(key).slice(ownPrefix.length));
      const [first] = keys;
      if (first === undefined) continue;
      // The keys have different slots, and may have moved to another server.
      if (this.#shared.isCluster) await Promise.all(keys.map((key) => this.deleteKey(key)));
      else await this.#send(() => send(["UNLINK", ...keys], first));
    } while (cursor !== "0");
  }

  /** Sends within the deadline if the circuit is closed. Not `async`: each promise less makes a check measurably faster. */
  #send(request: (isLate: () => boolean) => Promise<unknown>): Promise<unknown> {
    const pass = this.#breaker.admit();
    if (pass === undefined) return Promise.reject(new CircuitOpenError(CIRCUIT_OPEN, { cause: this.#breaker.cause }));
    return this.#deadline.over(request).then(
      (reply) => {
        this.#breaker.succeeded(pass);
        return reply;
      },
      (error: unknown) => {
        throw this.#failure(error, pass);
      },
    );
  }

  /** Calls `onStoreError`. */
  reportFailure(failure: StoreError): void {
    // Called as a function: the listener must not get this object as its `this`.
    const onStoreError = this.#onStoreError;
    callListener(
      () => onStoreError(failure),
      (problem) =>
        warn("SLUICEGATE_CALLBACK_FAILED", "onStoreError failed; the call was decided nevertheless", problem),
    );
  }

  #failure(error: unknown, pass: number): StoreError {
    const failure = this.#failureOf(error);
    // The breaker is about the server. These replies are about one key or one command, and come without a wait; a Redis that
    // refuses writes still refuses keys at their limit.
    const isServerFailure = failure instanceof UnreachableError && !isWriteRefused(error) && !isNotPermitted(error);
    if (!isServerFailure) this.#breaker.succeeded(pass);
    else this.#breaker.failed(pass, error);
    this.reportFailure(failure);
    return failure;
  }

  #failureOf(cause: unknown): StoreError {
    if (isForeignValue(cause))
      return new StoreError("The value of a key in Redis is not a log of this package", { cause });
    if (isUnsettled(cause))
      return new CrossSlotError("The keys of a call are being moved to another server", { cause });
    if (isCrossSlot(cause)) {
      this.#shared.isCluster = true;
      return new CrossSlotError(`The keys of a call are in different slots of a Redis Cluster: ${CLUSTER_ADVICE}`, {
        cause,
      });
    }
    if (isRedirect(cause) && !this.#connection.isCluster) {
      return new StoreError(`The client is of one server of a Redis Cluster: ${CLUSTER_ADVICE}`, { cause });
    }
    if (isNotPermitted(cause))
      return new UnreachableError("The Redis user of the client lacks a permission", { cause });
    return new UnreachableError("Redis could not decide", { cause });
  }
}

function reasonOf(cause: unknown): string {
  return cause instanceof LateReplyError ? `timed out after ${cause.timeoutMs} ms` : reasonInWords(cause);
}

const CLUSTER_ADVICE =
  "pass the store the client of the cluster, and give keys that are checked together one tag with `hashTagged`";

/** Escapes a string for the pattern of `SCAN`. */
function escaped(text: string): string {
  return text.replace(/[\\*?[\]^]/g, "\\$&");
}

/**
 * Prefixes a key with a hash tag, which determines its slot in a Redis Cluster: keys with the same tag are on one server, so that
 * `allOf` checks all of them by one command.
 *
 * The tag is a part of the key: the same key under another tag is another key, with its own log. Derive the tag from
 * what the keys have in common, for example a tenant, and not from the call.
 *
 * @param tag - any string. A few characters are escaped, so that no two pairs make the same key.
 * @throws TypeError when either is not a string.
 * @see {@link https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags | Redis Cluster: hash tags}
 *
 * @example
 * const both = allOf({ tenant: tenantLimiter, user: userLimiter });
 * await both.check({ tenant: hashTagged(tenant, ""), user: hashTagged(tenant, user) });
 */
export function hashTagged(tag: string, key: string): string {
  if (typeof tag !== "string") throw typeError("tag", "a string", tag);
  if (typeof key !== "string") throw typeError("key", "a string", key);
  // A tag ends at the first `}`, and an empty tag has no effect.
  const escaped = tag.replace(/[%}]/g, (character) => (character === "%" ? "%25" : "%7D"));
  return `{${escaped === "" ? "%" : escaped}}${key}`;
}

/** The part of a key that determines its slot: the text between its first `{` and the next `}`, or the whole key if there is none. */
export function hashedPart(key: string): string {
  return /^[^{]*\{([^}]+)\}/.exec(key)?.[1] ?? key;
}
