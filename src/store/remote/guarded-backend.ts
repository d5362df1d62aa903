import { callListener, warn } from "../../core/callbacks.js";
import { StoreError } from "../../core/errors.js";
import type { Backend, RemoteCall, Replies } from "./backend.js";
import { CircuitOpenError } from "./backend.js";
import type { Batcher, Report } from "./batcher.js";
import { LateReplyError } from "./batcher.js";
import type { SharedState } from "./shared-state.js";

/** The backend of one store, with the batcher of its timeout and a listener for failures. */
export class GuardedBackend {
  readonly backend: Backend;
  readonly #batcher: Batcher;
  readonly #keyPrefix: string;
  /** Calls `onStoreError`. */
  readonly #report: Report;

  constructor(
    shared: SharedState,
    keyPrefix: string,
    timeoutMs: number,
    onStoreError: ((error: unknown) => unknown) | undefined,
  ) {
    const { backend } = shared;
    const reasonOf = (cause: unknown): string =>
      cause instanceof LateReplyError ? `timed out after ${cause.timeoutMs} ms` : backend.reasonInWords(cause);
    const listener = onStoreError ?? ((failure: Error) => shared.warnOfFailure(failure, reasonOf(failure.cause)));
    this.backend = backend;
    this.#batcher = shared.batcher(timeoutMs);
    this.#keyPrefix = keyPrefix;
    this.#report = (failure: StoreError) =>
      callListener(
        () => listener(failure),
        (problem) =>
          warn("SLUICEGATE_CALLBACK_FAILED", "onStoreError failed; the call was decided nevertheless", problem),
      );
  }

  /**
   * Executes one call, possibly in one run with others.
   *
   * @throws UnreachableError (as a rejection) if the server cannot decide, CrossSlotError if the keys are not on one server,
   *   StoreError for a foreign value and for a client that cannot reach the key.
   */
  run<M extends RemoteCall["method"]>(call: RemoteCall & { readonly method: M }): Promise<Replies[M]> {
    return this.#batcher.run(call, this.#keyPrefix) as Promise<Replies[M]>;
  }

  /**
   * Reports a failure of {@link run}, unless nothing was sent. Call this where the failure is handled: a run has calls of several
   * callers, and `onStoreError` may read the `AsyncLocalStorage` of its caller.
   */
  reportFailure(failure: unknown): void {
    if (failure instanceof StoreError && !(failure instanceof CircuitOpenError)) this.#report(failure);
  }

  /** Whether a run can contain calls of both. */
  sharesRuns(other: GuardedBackend): boolean {
    return this.#batcher === other.#batcher && this.#keyPrefix === other.#keyPrefix;
  }

  /** Sends the calls that wait. */
  flush(): void {
    this.#batcher.flush();
  }

  /** Removes one key. Calls that were made before are sent before. */
  async deleteKey(key: string): Promise<void> {
    this.#batcher.flush();
    await this.#batcher.request((isLate) => this.backend.deleteKey(key, isLate), this.#report);
  }

  /** Removes all keys that begin with `prefix`. Calls that were made before are sent before. */
  async deleteAll(prefix: string): Promise<void> {
    this.#batcher.flush();
    await this.backend.deleteAll(prefix, (send) => this.#batcher.request(send, this.#report));
  }
}
