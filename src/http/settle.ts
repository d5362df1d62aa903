import { isPromiseLike } from "../core/promise-like.js";
import { warn } from "../core/warn.js";
import { callbackError } from "./callback-error.js";
import type { Guard } from "./guard.js";
import type { Passage } from "./passage.js";

/** A response whose connection can be closed. */
export interface Closable {
  destroy?(): unknown;
}

/**
 * Decides on a request for a framework that goes on by a callback: without a promise where the guard needs none.
 *
 * Every error goes to `failed`, whether the guard throws it or rejects with it, or `proceed` throws it, now or later.
 */
export function settle<R, A extends readonly unknown[]>(
  guard: Guard<R, A>,
  request: R,
  response: Closable,
  proceed: (passage: Passage) => void,
  failed: (error: Error) => void,
): void {
  let passage;
  try {
    passage = guard.admit(request);
    if (!isPromiseLike(passage)) return proceed(passage);
  } catch (error) {
    return failed(callbackError(error));
  }
  const fail = (error: unknown): void => failed(callbackError(error));
  const attempt = (late: Passage): void => {
    try {
      proceed(late);
    } catch (error) {
      fail(error);
    }
  };
  passage.then(attempt, fail).then(undefined, closing(response));
}

/** Makes what handles an error of the error handler itself behind a promise: no caller could catch it any more. */
export function closing(response: Closable): (error: unknown) => void {
  return (error) => {
    warn("The error handler failed; the connection was closed", error);
    response.destroy?.();
  };
}
