import { StoreError } from "../core/errors.js";
import { callListener, warn } from "../core/callbacks.js";
import type { CircuitBreaker } from "./circuit-breaker.js";
import type { Send } from "./client.js";
import type { Connection } from "./clients.js";
import { Deadline } from "./deadline.js";
import { hashedPart } from "./hash-tag.js";
import type { Script } from "./script.js";
import {
  isCrossSlot,
  isElsewhere,
  isForeignValue,
  isMissingScript,
  isNotPermitted,
  isWriteRefused,
  isUnsettled,
} from "./errors.js";
import type { SharedClient } from "./shared-client.js";
import { sharedClient } from "./shared-client.js";

const NOT_ASKED = "Redis is not asked for the moment, because it did not answer";

/** Redis did not answer, or could not: somebody else has to, as `whenDown` says. */
export class UnreachableError extends StoreError {}

/** Redis was not even asked, so nothing can have been done. */
export class CircuitOpenError extends UnreachableError {}

/** The keys of a command are not on one server of a cluster: nothing has been done, and each can be asked by itself. */
export class CrossSlotError extends StoreError {}

/** The server behind a store, or the cluster: it runs the scripts, within the deadline, as long as it answers at all. */
export class ScriptRunner {
  /** What the store was given. */
  readonly client: object;
  readonly #shared: SharedClient;
  readonly #connection: Connection;
  readonly #deadline: Deadline;
  readonly #breaker: CircuitBreaker;
  readonly #onStoreError: (error: unknown) => unknown;

  constructor(client: unknown, timeoutMs: number, onStoreError: ((error: unknown) => unknown) | undefined) {
    const shared = sharedClient(client);
    this.client = client as object;
    this.#shared = shared;
    this.#connection = shared.connection;
    this.#deadline = new Deadline(timeoutMs, () => new Error(`Redis did not answer within ${timeoutMs} ms`));
    this.#breaker = shared.breaker(timeoutMs);
    this.#onStoreError = onStoreError ?? ((failure) => shared.warnOfFailure(failure));
  }

  /**
   * Runs a script on keys.
   *
   * @throws Unreachable (as a rejection) when Redis cannot answer, KeysApart when the keys are not on one server,
   *   StoreError for a value that is not ours and for a client that cannot know the server of a key.
   */
  run({ text, sha1 }: Script, keys: readonly [string, ...string[]], words: readonly string[]): Promise<unknown> {
    const { send } = this.#connection;
    const rest = [String(keys.length), ...keys, ...words];
    return this.#asked((isLate) =>
      Promise.resolve(send(["EVALSHA", sha1, ...rest], keys[0], isLate)).catch((error: unknown) => {
        // Nothing has run, so this is the one error that is answered by another try: of any other nobody knows whether the
        // call was recorded. Unless somebody else has answered it meanwhile.
        if (isLate() || !isMissingScript(error)) throw error;
        return send(["EVAL", text, ...rest], keys[0], isLate);
      }),
    );
  }

  /** Whether one script can run on all of these keys: they are of one slot, or the server has no slots. */
  shareSlot(keys: readonly string[]): boolean {
    if (!this.#shared.isCluster) return true;
    const { ownPrefix } = this.#connection;
    return new Set(keys.map((key) => hashedPart(ownPrefix + key))).size === 1;
  }

  /**
   * Removes all keys that begin with `prefix`, in batches, so that the servers answer others in between.
   *
   * A cluster is gone through twice: a key that moves from a server not yet read to one read already is found the second time,
   * where it is then.
   *
   * @throws StoreError (as a rejection) for a client that sees but one server of a cluster.
   */
  async deleteByPrefix(prefix: string): Promise<void> {
    if (!this.#connection.isCluster && (this.#shared.isCluster || (await this.#isPartOfCluster()))) {
      throw new StoreError(`The client sees but one server of a Redis Cluster: ${HAND_OVER}`);
    }
    for (let pass = 0; pass < (this.#shared.isCluster ? 2 : 1); pass += 1) {
      const primaries = (await this.#asked(() => this.#connection.primaries())) as readonly Send[];
      await Promise.all(primaries.map((primary) => this.#forgetOn(primary, prefix)));
    }
  }

  /** Removes one key. */
  async deleteKey(key: string): Promise<void> {
    await this.#asked(() => this.#connection.send(["UNLINK", key], key));
  }

  /** Where nobody may ask, or there is no such question, it is taken for none. */
  async #isPartOfCluster(): Promise<boolean> {
    const info = await this.#deadline.over(() => this.#connection.send(["INFO", "cluster"], "")).catch(() => "");
    return String(info).includes("cluster_enabled:1");
  }

  async #forgetOn(primary: Send, prefix: string): Promise<void> {
    const { send, ownPrefix } = this.#connection;
    const pattern = `${escaped(ownPrefix + prefix)}*`;
    let cursor = "0";
    do {
      const reply = await this.#asked(() => primary(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]));
      const [next, found] = reply as [unknown, unknown[]];
      cursor = String(next);
      const keys = found.map((key) => String(key).slice(ownPrefix.length));
      const [first] = keys;
      if (first === undefined) continue;
      // Of different slots, and perhaps on another server by now.
      if (this.#shared.isCluster) await Promise.all(keys.map((key) => this.deleteKey(key)));
      else await this.#asked(() => send(["UNLINK", ...keys], first));
    } while (cursor !== "0");
  }

  /** Asks within the deadline. No `async`: of each promise less on the way of a check, a process sends more of them. */
  #asked(question: (isLate: () => boolean) => Promise<unknown>): Promise<unknown> {
    const pass = this.#breaker.admit();
    if (pass === undefined) return Promise.reject(new CircuitOpenError(NOT_ASKED, { cause: this.#breaker.cause }));
    return this.#deadline.over(question).then(
      (reply) => {
        this.#breaker.succeeded(pass);
        return reply;
      },
      (error: unknown) => {
        throw this.#failure(error, pass);
      },
    );
  }

  /** Tells `onStoreError` of a failure. */
  tell(failure: StoreError): void {
    // By itself: a listener is not to see the server as its `this`.
    const onStoreError = this.#onStoreError;
    callListener(
      () => onStoreError(failure),
      (problem) => warn("onStoreError failed; the call was answered all the same", problem),
    );
  }

  #failure(error: unknown, pass: number): StoreError {
    const failure = this.#failureOf(error);
    // The breaker is about the server. These replies are about one key or one command, and come without a wait; a Redis that
    // refuses writes still refuses keys at their limit.
    const isOfServer = failure instanceof UnreachableError && !isWriteRefused(error) && !isNotPermitted(error);
    if (!isOfServer) this.#breaker.succeeded(pass);
    else this.#breaker.failed(pass, error);
    this.tell(failure);
    return failure;
  }

  #failureOf(cause: unknown): StoreError {
    if (isForeignValue(cause))
      return new StoreError("The value of a key in Redis is not a log of this package", { cause });
    if (isUnsettled(cause))
      return new CrossSlotError("The keys of a call are being moved to another server", { cause });
    if (isCrossSlot(cause)) {
      this.#shared.isCluster = true;
      return new CrossSlotError(`The keys of a call are in different slots of a Redis Cluster: ${HAND_OVER}`, {
        cause,
      });
    }
    if (isElsewhere(cause) && !this.#connection.isCluster) {
      return new StoreError(`The client is of one server of a Redis Cluster: ${HAND_OVER}`, { cause });
    }
    if (isNotPermitted(cause))
      return new UnreachableError("The Redis user of the client lacks a permission", { cause });
    return new UnreachableError("Redis could not answer", { cause });
  }
}

const HAND_OVER =
  "hand the store the client of the cluster, and give keys that are asked together one tag with `hashTagged`";

/** A text as `SCAN` matches it literally. */
function escaped(text: string): string {
  return text.replace(/[\\*?[\]^]/g, "\\$&");
}
