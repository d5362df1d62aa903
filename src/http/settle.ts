import { isPromiseLike } from "../core/promise-like.js";
import { callbackError } from "./callback-error.js";
import type { Guard } from "./guard.js";
import type { Passage } from "./passage.js";

/**
 * Asks a guard, for frameworks that go on by a callback: what is to become of a request is told at once where nothing has to
 * be waited for, and what fails is told as an error, now or later.
 */
export function settle<R, A extends readonly unknown[]>(
  guard: Guard<R, A>,
  request: R,
  proceed: (passage: Passage) => void,
  failed: (error: Error) => void,
): void {
  let passage;
  try {
    passage = guard.admit(request);
  } catch (error) {
    return failed(callbackError(error));
  }
  if (!isPromiseLike(passage)) return proceed(passage);
  passage.then(proceed, (error: unknown) => {
    failed(callbackError(error));
  });
}
