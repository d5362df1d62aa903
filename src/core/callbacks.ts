/** Whether a value is a promise, or anything with a `then` method. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null | undefined)?.then === "function";
}

/** Calls `then` with a value: at once, or, if it is a promise, when that resolves. */
export function andThen<T, R>(value: T | PromiseLike<T>, then: (value: T) => R | Promise<R>): R | Promise<R> {
  return isPromiseLike(value) ? Promise.resolve(value).then(then) : then(value);
}

interface Host {
  process?: { emitWarning?(warning: string, options: { type: string; detail: string; code?: string }): void };
  console?: { warn(...values: unknown[]): void };
}

/**
 * Reports a failure that must not change the result of a call, such as a broken metric: as a process warning of the type
 * `SluicegateWarning`, or on the console if there is no process.
 */
export function warn(message: string, error: unknown, code?: WarningCode): void {
  emit(message, detailOf(error), code);
}

/** The codes of warnings. The README explains each, and how to fix it, under "Warnings". */
export type WarningCode =
  | "SLUICEGATE_COUNTED_TWICE"
  | "SLUICEGATE_FORWARDED_NOT_TRUSTED"
  | "SLUICEGATE_LIMITER_PER_REQUEST"
  | "SLUICEGATE_SHARED_KEYS"
  | "SLUICEGATE_STORE_FAILED";

const issued = new Set<string>();

/**
 * Warns of misuse, once per process and code: as a process warning of the type `SluicegateWarning` with that `code`, or on
 * the console if there is no process.
 *
 * @param detail - names and numbers, and never a key or an address.
 */
export function warnOnce(code: WarningCode, message: string, detail: string): void {
  if (issued.has(code)) return;
  issued.add(code);
  emit(message, detail, code);
}

function emit(message: string, detail: string, code?: WarningCode): void {
  const { process, console } = globalThis as Host;
  const options = { type: "SluicegateWarning", detail, ...(code !== undefined && { code }) };
  if (typeof process?.emitWarning === "function") process.emitWarning(message, options);
  else console?.warn(`SluicegateWarning: ${message}`, detail);
}

/** Describes any thrown value, even one without a `toString`, or with a `stack` that throws. */
function detailOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return typeof error;
  }
}

/** Calls a listener. If it throws, or returns a promise that rejects, `onError` is called with the error. */
export function callListener(listener: () => unknown, onError: (error: unknown) => void): void {
  try {
    const returned = listener();
    if (isPromiseLike(returned)) returned.then(undefined, onError);
  } catch (error) {
    onError(error);
  }
}
