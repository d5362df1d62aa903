import { callListener, warn } from "../../core/callbacks.js";
import type { StoreError } from "../../core/errors.js";
import type { Backend, RemoteCall, Replies } from "./backend.js";
import { CircuitOpenError } from "./backend.js";
import type { CircuitBreaker } from "./circuit-breaker.js";
import { Deadline } from "./deadline.js";
import type { SharedState } from "./shared-state.js";

/** No reply arrived within the timeout of the store. */
class LateReplyError extends Error {
  readonly timeoutMs: number;

  constructor(server: string, timeoutMs: number) {
    super(`${server} did not reply within ${timeoutMs} ms`);
    this.timeoutMs = timeoutMs;
  }
}

/** The backend of one store, with its deadline, circuit breaker and listener for failures. */
export class GuardedBackend {
  readonly backend: Backend;
  readonly #deadline: Deadline;
  readonly #breaker: CircuitBreaker;
  readonly #onStoreError: (error: StoreError) => unknown;

  constructor(shared: SharedState, timeoutMs: number, onStoreError: ((error: unknown) => unknown) | undefined) {
    const { backend } = shared;
    const reasonOf = (cause: unknown): string =>
      cause instanceof LateReplyError ? `timed out after ${cause.timeoutMs} ms` : backend.reasonInWords(cause);
    this.backend = backend;
    this.#deadline = new Deadline(timeoutMs, () => new LateReplyError(backend.name, timeoutMs));
    this.#breaker = shared.breaker(timeoutMs);
    this.#onStoreError = onStoreError ?? ((failure) => shared.warnOfFailure(failure, reasonOf(failure.cause)));
  }

  /**
   * Executes one call.
   *
   * @throws UnreachableError (as a rejection) if the server cannot decide, CrossSlotError if the keys are not on one server,
   *   StoreError for a foreign value and for a client that cannot reach the key.
   */
  run<M extends RemoteCall["method"]>(call: RemoteCall & { readonly method: M }): Promise<Replies[M]> {
    return this.request((isLate) =>
      this.backend.execute([call], isLate).then(([reply]) => {
        if (reply instanceof Error) throw reply;
        return reply as Replies[M];
      }),
    );
  }

  /** Removes one key. */
  async deleteKey(key: string): Promise<void> {
    await this.request(() => this.backend.deleteKey(key));
  }

  /** Removes all keys that begin with `prefix`. */
  deleteAll(prefix: string): Promise<void> {
    return this.backend.deleteAll(prefix, (send) => this.request(send));
  }

  /** Sends within the deadline if the circuit is closed. Not `async`: each promise less makes a check measurably faster. */
  request<T>(send: (isLate: () => boolean) => Promise<T>): Promise<T> {
    const pass = this.#breaker.admit();
    if (pass === undefined) return Promise.reject(this.#circuitOpen());
    return this.#deadline.over(send).then(
      (reply) => {
        this.#breaker.succeeded(pass);
        return reply;
      },
      (cause: unknown) => {
        const { error, isOutage } = this.backend.failureOf(cause);
        if (isOutage) this.#breaker.failed(pass, cause);
        else this.#breaker.succeeded(pass);
        this.reportFailure(error);
        throw error;
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

  #circuitOpen(): CircuitOpenError {
    const message = `The circuit breaker is open: no command is sent to ${this.backend.name}, because it did not reply`;
    return new CircuitOpenError(message, { cause: this.#breaker.cause });
  }
}
