import { monotonicClock } from "../core/clock.js";
import { StoreError } from "../core/errors.js";
import { tell } from "../core/tell.js";
import { warn } from "../core/warn.js";
import { CircuitBreaker } from "./circuit-breaker.js";
import type { Connection } from "./client.js";
import { Deadline } from "./deadline.js";
import { SCRIPT, SCRIPT_SHA1 } from "./script.js";
import { isForeignValue, isMissingScript, isOutOfMemory } from "./server-error.js";

const NOT_ASKED = "Redis is not asked for the moment, because it did not answer";

/** Redis did not answer, or could not: somebody else has to, as `whenDown` says. */
export class Unreachable extends StoreError {}

/** Redis was not even asked, so nothing can have been done. */
export class NotAsked extends Unreachable {}

/** The server behind a store: it runs the script, within the deadline, as long as it answers at all. */
export class RedisServer {
  readonly #connection: Connection;
  readonly #deadline: Deadline;
  readonly #onStoreError: ((error: unknown) => unknown) | undefined;
  /** What went wrong last: why Redis is not asked. */
  #latest: unknown;
  readonly #breaker = new CircuitBreaker(() => monotonicClock.now());

  constructor(connection: Connection, timeoutMs: number, onStoreError: ((error: unknown) => unknown) | undefined) {
    this.#connection = connection;
    this.#deadline = new Deadline(timeoutMs, () => new Error(`Redis did not answer within ${timeoutMs} ms`));
    this.#onStoreError = onStoreError;
  }

  /**
   * Runs the script on a key.
   *
   * @throws Unreachable (as a rejection) when Redis cannot answer, StoreError for a value that is not ours.
   */
  run(key: string, words: readonly string[]): Promise<unknown> {
    const { send } = this.#connection;
    return this.#asked((isLate) =>
      Promise.resolve(send(["EVALSHA", SCRIPT_SHA1, "1", key, ...words])).catch((error: unknown) => {
        // Nothing has run, so this is the one error that is answered by another try: of any other nobody knows whether the
        // call was recorded. Unless somebody else has answered it meanwhile.
        if (isLate() || !isMissingScript(error)) throw error;
        return send(["EVAL", SCRIPT, "1", key, ...words]);
      }),
    );
  }

  /** Removes all keys that begin with `prefix`, in batches, so that the server answers others in between. */
  async forget(prefix: string): Promise<void> {
    const { send, ownPrefix } = this.#connection;
    const pattern = `${escaped(ownPrefix + prefix)}*`;
    let cursor = "0";
    do {
      const reply = await this.#asked(() => send(["SCAN", cursor, "MATCH", pattern, "COUNT", "1000"]));
      const [next, found] = reply as [unknown, unknown[]];
      cursor = String(next);
      const keys = found.map((key) => String(key).slice(ownPrefix.length));
      if (keys.length > 0) await this.#asked(() => send(["UNLINK", ...keys]));
    } while (cursor !== "0");
  }

  /** Removes one key. */
  async forgetKey(key: string): Promise<void> {
    await this.#asked(() => this.#connection.send(["UNLINK", key]));
  }

  /** Asks within the deadline. No `async`: of each promise less on the way of a check, a process sends more of them. */
  #asked(question: (isLate: () => boolean) => Promise<unknown>): Promise<unknown> {
    const pass = this.#breaker.admit();
    if (pass === undefined) return Promise.reject(new NotAsked(NOT_ASKED, { cause: this.#latest }));
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

  #failure(error: unknown, pass: number): StoreError {
    const isForeign = isForeignValue(error);
    const failure = isForeign
      ? new StoreError("The value of a key in Redis is not a log of this package", { cause: error })
      : new Unreachable("Redis could not answer", { cause: error });
    // It answered, and nobody had to wait: whom it refuses, it still refuses.
    if (isForeign || isOutOfMemory(error)) this.#breaker.succeeded(pass);
    else {
      this.#latest = error;
      this.#breaker.failed(pass);
    }
    const onStoreError = this.#onStoreError;
    if (onStoreError !== undefined) {
      tell(
        () => onStoreError(failure),
        (problem) => warn("onStoreError failed; the call was answered all the same", problem),
      );
    }
    return failure;
  }
}

/** A text as `SCAN` matches it literally. */
function escaped(text: string): string {
  return text.replace(/[\\*?[\]^]/g, "\\$&");
}
