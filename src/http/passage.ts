import type { Decision } from "../core/decision.js";
import type { RateLimitExceededError, StoreError } from "../core/errors.js";
import type { Field } from "./field.js";

/** What is to become of a request. */
export interface Passage {
  /** The decision; undefined where nobody was asked, or the store could not answer. */
  readonly decision: Decision | undefined;
  /** What the answer is to tell of the limits, whoever writes it. */
  readonly fields: readonly Field[];
  /** The answer in place of the handler's; undefined for a request that may go on. */
  readonly refusal: Refusal | undefined;
  /**
   * To be called with the status of the response once the whole response has been sent, and not if it is cut off; undefined if
   * nothing depends on it. It never rejects.
   */
  readonly ended: ((status: number) => Promise<void>) | undefined;
}

/** The answer to a request that may not go on. */
export interface Refusal {
  readonly status: number;
  /** Further fields of the answer: all but those of its body. */
  readonly fields: readonly Field[];
  /** JSON, of the type {@link PROBLEM_TYPE}, for all methods but HEAD; undefined where nobody reads it. */
  readonly body: string | undefined;
  /**
   * Makes the same an exception, for frameworks whose error handler writes the answer; undefined where nobody reads it. Only
   * when it is asked for: a stack trace costs more than all the rest.
   *
   * @param told - the fields that the answer has by now, with what guards further out have said in them.
   */
  readonly error:
    ((told?: (name: string) => unknown) => (RateLimitExceededError | StoreError) & ErrorAnswer) | undefined;
}

/** What the error handlers of express and koa look for: they take all fields back before they set these. */
export interface ErrorAnswer {
  readonly headers: Readonly<Record<string, string>>;
  /** The message may be shown: there is no key in it. */
  readonly expose: boolean;
}

/** The media type of a refusal's body. @see RFC 9457 */
export const PROBLEM_TYPE = "application/problem+json";
