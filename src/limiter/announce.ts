import type { Decision } from "../core/decision.js";
import { isPromiseLike } from "../core/mutex.js";
import { warn } from "../core/warn.js";

/**
 * Tells `onDecision` of a decision. Whatever becomes of that, now or when its promise settles, the decision stands: a
 * failure is a process warning, because a broken metric must not refuse, or admit, a login.
 */
export function announce<K extends string>(
  onDecision: (decision: Decision, key: K) => unknown,
  decision: Decision,
  key: K,
): void {
  const failed = (error: unknown): void => {
    warn("onDecision failed; the decision stands", error);
  };
  try {
    const heard = onDecision(decision, key);
    if (isPromiseLike(heard)) heard.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
