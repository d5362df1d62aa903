import { isPromiseLike } from "../core/promise-like.js";

/**
 * Hands over an answer at once where it is there at once, so that a store in memory is asked in one run. What fails, in the
 * asking or in what becomes of the answer (a clock that cannot be slept by), fails the waiter, and not the line.
 */
export function answered<A>(
  ask: () => A | PromiseLike<A>,
  then: (answer: A) => void,
  failed: (error: unknown) => void,
): void {
  try {
    const answer = ask();
    if (isPromiseLike(answer)) void answer.then(then).then(undefined, failed);
    else then(answer);
  } catch (error) {
    failed(error);
  }
}
