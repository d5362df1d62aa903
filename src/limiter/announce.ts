import type { Decision } from "../core/decision.js";
import { isPromiseLike } from "../core/mutex.js";

/**
 * Tells `onDecision` of a decision. Whatever becomes of that, now or when its promise settles, the decision stands: a
 * failure is a process warning, because a broken metric must not refuse, or admit, a login.
 */
export function announce<K extends string>(
  onDecision: (decision: Decision, key: K) => unknown,
  decision: Decision,
  key: K,
): void {
  try {
    const heard = onDecision(decision, key);
    if (isPromiseLike(heard)) heard.then(undefined, warn);
  } catch (error) {
    warn(error);
  }
}

interface Host {
  process?: { emitWarning?(warning: string, options: { type: string; detail: string }): void };
  console?: { warn(...values: unknown[]): void };
}

function warn(error: unknown): void {
  const message = "onDecision failed; the decision stands";
  const detail = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  const { process, console } = globalThis as Host;
  if (typeof process?.emitWarning === "function") process.emitWarning(message, { type: "SluicegateWarning", detail });
  else console?.warn(`SluicegateWarning: ${message}`, detail);
}
