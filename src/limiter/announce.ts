import type { Decision } from "../core/decision.js";
import { tell } from "../core/tell.js";
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
  tell(
    () => onDecision(decision, key),
    (error) => {
      warn("onDecision failed; the decision stands", error);
    },
  );
}
