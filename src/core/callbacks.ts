/** Whether a value is a promise, or anything with a `then` method. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  // The `then` of a string would be looked up in its prototypes, which takes longer than the rest of a call.
  const mayHaveMethods = (typeof value === "object" && value !== null) || typeof value === "function";
  return mayHaveMethods && typeof (value as PromiseLike<T>).then === "function";
}

/** Calls `then` with a value: at once, or, if it is a promise, when that resolves. */
export function andThen<T, R>(value: T | PromiseLike<T>, then: (value: T) => R | Promise<R>): R | Promise<R> {
  return isPromiseLike(value) ? Promise.resolve(value).then(then) : then(value);
}

/** The address of `docs/errors.md`. The build sets it if `package.json` has a `homepage`, and does not declare it otherwise. */
declare const ERRORS_PAGE: string | undefined;

interface Host {
  process?: { emitWarning?(warning: string, options: { type: string; code: string; detail: string }): void };
  console?: { warn(...values: unknown[]): void };
}

/**
 * Reports a failure that must not change the result of a call, such as a broken metric: as a process warning of the type
 * `SluicegateWarning` with a `code`, or on the console if there is no process.
 */
export function warn(code: WarningCode, message: string, error: unknown): void {
  emit(code, message, detailOf(error));
}

/** The codes of warnings. `docs/errors.md` explains each, and how to fix it, under a heading with its name. */
type WarningCode =
  | "SLUICEGATE_AUTO_PIPELINING"
  | "SLUICEGATE_CALLBACK_FAILED"
  | "SLUICEGATE_COUNTED_TWICE"
  | "SLUICEGATE_FORWARDED_NOT_TRUSTED"
  | "SLUICEGATE_LIMITER_PER_REQUEST"
  | "SLUICEGATE_LOAD_FAILED"
  | "SLUICEGATE_NO_RESPONSE"
  | "SLUICEGATE_REFUND_FAILED"
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
  emit(code, message, detail);
}

function emit(code: WarningCode, message: string, reason: string): void {
  const { process, console } = globalThis as Host;
  const detail = typeof ERRORS_PAGE === "string" ? `${reason}\nSee ${ERRORS_PAGE}#${code.toLowerCase()}` : reason;
  if (typeof process?.emitWarning === "function") {
    process.emitWarning(message, { type: "SluicegateWarning", code, detail });
  } else console?.warn(`[${code}] SluicegateWarning: ${message}`, detail);
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
