/** The part of an `AbortSignal` that waiting needs. Structural, so that the types of no runtime are required. */
export interface WaitSignal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** The one listener on a signal, and the callbacks that it runs. */
interface Subscription {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

const subscriptions = new WeakMap<WaitSignal, Subscription>();

/**
 * Runs `callback` when the signal is aborted, unless the returned function is called first.
 *
 * Each signal gets one listener, however many callbacks it has, because Node warns of a leak at the eleventh. The listener
 * is removed with the last callback.
 */
export function onAbort(signal: WaitSignal, callback: () => void): () => void {
  const subscription = subscriptions.get(signal) ?? subscribe(signal);
  subscription.callbacks.add(callback);
  return () => {
    if (!subscription.callbacks.delete(callback) || subscription.callbacks.size > 0) return;
    signal.removeEventListener("abort", subscription.listener);
    subscriptions.delete(signal);
  };
}

function subscribe(signal: WaitSignal): Subscription {
  const callbacks = new Set<() => void>();
  const listener = (): void => {
    for (const callback of [...callbacks]) callback();
  };
  const subscription = { callbacks, listener };
  subscriptions.set(signal, subscription);
  signal.addEventListener("abort", listener);
  return subscription;
}
