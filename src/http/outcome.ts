import type { Decision } from "../core/decision.js";
import type { RateLimitExceededError, StoreError } from "../core/errors.js";
import type { HeaderEntry } from "./headers.js";

/** What is to become of a request. */
export interface Outcome {
  /** The decision; undefined where nobody was asked, or the store could not answer. */
  readonly decision: Decision | undefined;
  /** What the answer is to tell of the limits, whoever writes it. */
  readonly fields: readonly HeaderEntry[];
  /** The answer in place of the handler's; undefined for a request that may go on. */
  readonly refusal: Rejection | undefined;
  /**
   * To be called with the status of the response once the whole response has been sent, and not if it is cut off; undefined if
   * nothing depends on it. It never rejects.
   */
  readonly onResponse: ((status: number) => Promise<void>) | undefined;
}

/** The answer to a request that may not go on. */
export interface Rejection {
  readonly status: number;
  /** Further fields of the answer: all but those of its body. */
  readonly fields: readonly HeaderEntry[];
  /** JSON, of the type {@link PROBLEM_TYPE}, for all methods but HEAD; undefined where nobody reads it. */
  readonly body: string | undefined;
  /**
   * Makes the same an exception, for frameworks whose error handler writes the answer; undefined where nobody reads it. Only
   * when it is asked for: a stack trace costs more than all the rest.
   *
   * @param told - the fields that the answer has by now, with what guards further out have said in them.
   */
  readonly error:
    ((told?: (name: string) => unknown) => (RateLimitExceededError | StoreError) & RejectionError) | undefined;
}

/** What the error handlers of express and koa look for: they take all fields back before they set these. */
export interface RejectionError {
  readonly headers: Readonly<Record<string, string>>;
  /** The message may be shown: there is no key in it. */
  readonly expose: boolean;
}

/** The media type of a refusal's body. @see RFC 9457 */
export const PROBLEM_TYPE = "application/problem+json";

/**
 * What a callback threw, as an error: a framework takes a falsy one for none, and would go on as if all were well.
 */
export function callbackError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error("A callback threw what is no error", { cause: thrown });
}
