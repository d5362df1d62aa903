import type { Decision } from "../core/decision.js";
import type { RateLimitExceededError, StoreError } from "../core/errors.js";
import type { HeaderEntry } from "./headers.js";

/** The outcome of the limits for a request. */
export interface Outcome {
  /** The decision; undefined if no limit applied, or the store failed. */
  readonly decision: Decision | undefined;
  /** The fields that show the limits, for every response. */
  readonly fields: readonly HeaderEntry[];
  /** The response in place of the handler's; undefined for a request that passes. */
  readonly rejection: Rejection | undefined;
  /**
   * Must be called with the status of the response when the whole response has been sent, and not if it is cut off; undefined if
   * no refund depends on it. It never rejects.
   */
  readonly onResponse: ((status: number) => Promise<void>) | undefined;
}

/** The response to a request that does not pass. */
export interface Rejection {
  readonly status: number;
  /** Further fields of the response, without those of its body. */
  readonly fields: readonly HeaderEntry[];
  /** JSON, of the type {@link PROBLEM_TYPE}, for all methods but HEAD; undefined if the client has disconnected. */
  readonly body: string | undefined;
  /**
   * Creates the error for `throw: true`; undefined if the client has disconnected. A function, because capturing a stack trace is
   * the most expensive step.
   *
   * @param currentHeader - reads a header that the response already has, so that the fields of outer limiters are kept.
   */
  readonly error:
    ((currentHeader?: (name: string) => unknown) => (RateLimitExceededError | StoreError) & RejectionError) | undefined;
}

/** What the error handlers of express and koa read: they remove all fields of the response before they set these. */
export interface RejectionError {
  readonly headers: Readonly<Record<string, string>>;
  /** The message can be shown to the client: it contains no key. */
  readonly expose: boolean;
}

/** The media type of the body of a refusal. @see RFC 9457 */
export const PROBLEM_TYPE = "application/problem+json";

/**
 * Converts a thrown value to an error: a framework treats a falsy value as no error, and would let the request pass.
 */
export function callbackError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error("A callback threw a value that is not an error", { cause: thrown });
}
