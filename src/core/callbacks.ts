/** Tells a promise of a value from the value. */
export function isPromiseLike<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | null | undefined)?.then === "function";
}

/** Passes on a value at once where it is there, and else when it is. */
export function andThen<T, R>(value: T | PromiseLike<T>, then: (value: T) => R | Promise<R>): R | Promise<R> {
  return isPromiseLike(value) ? Promise.resolve(value).then(then) : then(value);
}

interface Host {
  process?: { emitWarning?(warning: string, options: { type: string; detail: string; code?: string }): void };
  console?: { warn(...values: unknown[]): void };
}

/**
 * Tells of a failure that must change nothing, a broken metric for one: as a process warning of the type
 * `SluicegateWarning`, or on the console where there is no process.
 */
export function warn(message: string, error: unknown): void {
  emit(message, detailOf(error));
}

/** The codes of the warnings about misuse. README, "Warnings", says of each what it means and how to mend it. */
export type WarningCode =
  | "SLUICEGATE_COUNTED_TWICE"
  | "SLUICEGATE_FORWARDED_NOT_TRUSTED"
  | "SLUICEGATE_LIMITER_PER_REQUEST"
  | "SLUICEGATE_SHARED_KEYS";

const issued = new Set<string>();

/**
 * Warns of misuse, once per process and code: as a process warning of the type `SluicegateWarning` with that `code`, or on
 * the console where there is no process.
 *
 * @param detail - what was found: names and numbers, and never a key or an address.
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

/** Whatever was thrown, in words: even what has no `toString`, or a `stack` that throws. */
function detailOf(error: unknown): string {
  try {
    return error instanceof Error ? (error.stack ?? error.message) : String(error);
  } catch {
    return typeof error;
  }
}

/** Runs somebody else's listener. Whether it throws now or rejects later, only `failed` hears of it. */
export function callListener(listener: () => unknown, failed: (error: unknown) => void): void {
  try {
    const heard = listener();
    if (isPromiseLike(heard)) heard.then(undefined, failed);
  } catch (error) {
    failed(error);
  }
}
